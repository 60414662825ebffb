//! Video files, read by the program `ffmpeg`.

use super::{Room, unreadable};
use crate::{Image, ImageOptions, VisionError};
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What a file says of itself.
pub(super) struct Found {
    pub(super) fps: f64,
    pub(super) duration: Option<f64>,
    pub(super) frames: usize,
}

fn ffmpeg(path: &Path) -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-hide_banner", "-i"]).arg(path).stdin(Stdio::null());
    command
}

fn failed(name: &str, error: &std::io::Error) -> VisionError {
    unreadable(
        name,
        match error.kind() {
            ErrorKind::NotFound => {
                "video files are read by the program ffmpeg, which is not installed; \
            install it, or give a folder of frames or an animated GIF"
                    .to_owned()
            }
            _ => format!("ffmpeg cannot be run: {error}"),
        },
    )
}

/// Counts the frames of the first video stream without decoding them.
pub(super) fn probe(path: &Path, name: &str) -> Result<Found, VisionError> {
    let Output { stderr, .. } = ffmpeg(path)
        .args(["-map", "0:v:0", "-c", "copy", "-f", "null", "-"])
        .output()
        .map_err(|error| failed(name, &error))?;
    let said = String::from_utf8_lossy(&stderr);
    read_report(&said).ok_or_else(|| {
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
        unreadable(name, format!("ffmpeg finds no video in it: {}", last.trim()))
    })
}

/// Reads the rate, the duration and the last count of frames out of what `ffmpeg` reports.
fn read_report(said: &str) -> Option<Found> {
    let before = |text: &str, end: &str| -> Option<f64> {
        let (number, _) = text.split_once(end)?;
        number.rsplit([',', ' ']).find(|word| !word.is_empty())?.parse().ok()
    };
    let stream = said.lines().find(|line| line.contains("Stream #") && line.contains("Video:"))?;
    let fps = before(stream, " fps").or_else(|| before(stream, " tbr"))?;
    let count = said.rsplit("frame=").next()?.trim_start();
    let frames = count.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    let duration =
        said.split_once("Duration: ").and_then(|(_, text)| clock(text.split(',').next()?));
    (fps > 0.0 && frames > 0).then_some(Found { fps, duration, frames })
}

/// `00:01:02.50` in seconds.
fn clock(text: &str) -> Option<f64> {
    text.trim().split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?))
}

/// Decodes the frames of rising indices.
pub(super) fn read(
    path: &Path,
    name: &str,
    frames: &[usize],
    options: &ImageOptions,
) -> Result<Vec<Image>, VisionError> {
    let wanted: Vec<String> = frames.iter().map(|frame| format!("eq(n\\,{frame})")).collect();
    let mut child = ffmpeg(path)
        .args(["-v", "error", "-map", "0:v:0", "-vf", &format!("select={}", wanted.join("+"))])
        .args(["-fps_mode", "passthrough", "-f", "image2pipe", "-c:v", "ppm", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(name, &error))?;
    let mut images = Vec::with_capacity(frames.len());
    let mut room = Room::new(name, options);
    let read = child.stdout.take().map_or(Ok(()), |stdout| {
        let mut stdout = std::io::BufReader::new(stdout);
        while images.len() < frames.len() {
            match read_ppm(&mut stdout, name, options)? {
                Some(image) => images.push(room.take(image)?),
                None => break,
            }
        }
        Ok(())
    });
    // Whatever it still wants to write, nobody reads it.
    let _ = child.kill();
    let _ = child.wait();
    read.map(|()| images)
}

/// The next picture of a stream of binary PPM files.
fn read_ppm(
    stream: &mut impl Read,
    name: &str,
    options: &ImageOptions,
) -> Result<Option<Image>, VisionError> {
    let broken = |error: std::io::Error| unreadable(name, format!("ffmpeg broke off: {error}"));
    let Some(magic) = word(stream).map_err(broken)? else { return Ok(None) };
    let mut number = || -> Result<u32, VisionError> {
        let text = word(stream).map_err(broken)?.unwrap_or_default();
        text.parse().map_err(|_| unreadable(name, "ffmpeg wrote no picture".to_owned()))
    };
    let (width, height, depth) = (number()?, number()?, number()?);
    if magic != "P6" || depth != 255 {
        return Err(unreadable(name, "ffmpeg wrote no picture".to_owned()));
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > options.max_pixels {
        let limit = options.max_pixels;
        return Err(VisionError::TooManyPixels { image: name.to_owned(), width, height, limit });
    }
    let mut rgb = vec![0; 3 * pixels as usize];
    stream.read_exact(&mut rgb).map_err(broken)?;
    Image::from_rgb(width, height, rgb).map(Some)
}

/// The next word of a header, up to the white space after it.
fn word(stream: &mut impl Read) -> std::io::Result<Option<String>> {
    let mut text = String::new();
    let mut byte = [0];
    while stream.read(&mut byte)? == 1 {
        match byte[0] {
            space if space.is_ascii_whitespace() && text.is_empty() => {}
            space if space.is_ascii_whitespace() => return Ok(Some(text)),
            letter if text.len() < 16 => text.push(char::from(letter)),
            _ => return Ok(Some(text)),
        }
    }
    Ok((!text.is_empty()).then_some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What ffmpeg 7 says of a file.
    const REPORT: &str = "Input #0, mov,mp4,m4a,3gp,3g2,mj2, from 'a.mp4':\n  Duration: 00:01:02.50, start: 0.000000, bitrate: 12 kb/s\n  Stream #0:0[0x1](und): Video: h264 (High) (avc1 / 0x31637661), yuv420p, 320x240, 9 kb/s, 29.97 fps, 30 tbr, 15360 tbn (default)\n  Stream #0:1: Audio: aac, 44100 Hz\nframe=    7 fps=0.0 q=-1.0 size=N/A\rframe= 1873 fps=0.0 q=-1.0 Lsize=N/A time=00:01:02.40 bitrate=N/A speed=1e+03x\n";

    #[test]
    fn reports_are_read() {
        let found = read_report(REPORT).unwrap();
        assert_eq!((found.fps, found.duration, found.frames), (29.97, Some(62.5), 1873));
        assert!(read_report("a.txt: Invalid data found when processing input").is_none());
    }

    #[test]
    fn pictures_are_read_one_after_another() {
        let mut stream: &[u8] = b"P6\n2 1\n255\nabcdefP6\n1 1\n255\nxyz";
        let options = ImageOptions::default();
        let first = read_ppm(&mut stream, "v", &options).unwrap().unwrap();
        assert_eq!(first.pixels().iter().copied().collect::<Vec<_>>(), b"abcdef");
        let second = read_ppm(&mut stream, "v", &options).unwrap().unwrap();
        assert_eq!(second.size(), (1, 1));
        assert!(read_ppm(&mut stream, "v", &options).unwrap().is_none());
        assert!(read_ppm(&mut &b"P6\n9 9\n255\nxyz"[..], "v", &options).is_err());
        assert!(read_ppm(&mut &b"P5\n1 1\n255\nxyz"[..], "v", &options).is_err());
        let small = ImageOptions { max_pixels: 1, ..options };
        let error = read_ppm(&mut &b"P6\n2 1\n255\nabcdef"[..], "v", &small).unwrap_err();
        assert!(matches!(error, VisionError::TooManyPixels { .. }));
    }
}
