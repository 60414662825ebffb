//! Videos: folders of frames, animated GIFs, and files that the program `ffmpeg` reads.

use crate::{Run, file, fixture, glm4v_tiny, run};
use image::AnimationDecoder;
use image::codecs::gif::GifDecoder;
use serde_json::Value;
use std::fs;
use std::io::{BufReader, ErrorKind};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The golden's frame of this number.
fn frame(number: usize) -> String {
    fixture(&format!("goldens/glm4v/video_v0_f{number}.png"))
}

fn describe(video: &Path, more: &[&str]) -> Run {
    let command = &mut glm4v_tiny();
    command.args(["describe", "--json", "--max-tokens", "8", "--temperature", "0"]);
    run(command.args(more).arg("--video").arg(video))
}

/// What a model that sees the frames says of them, and how many tokens they are.
fn seen(video: &Path, more: &[&str]) -> (Value, Value) {
    let run = describe(video, more);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let line = run.json_lines().remove(0);
    assert_eq!(line["prompt"], "Describe this video.");
    assert!(line["tokens"]["image"].as_u64().unwrap() > 0);
    (line["text"].clone(), line["tokens"].clone())
}

/// A folder with the golden's four frames, `order` saying which comes first.
fn frames(order: [usize; 4]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (place, number) in order.into_iter().enumerate() {
        fs::copy(frame(number), folder.path().join(format!("{place}.png"))).unwrap();
    }
    folder
}

#[test]
fn a_folder_of_frames_is_seen_in_its_order() {
    let forwards = seen(frames([0, 1, 2, 3]).path(), &["--video-fps", "2"]);
    let backwards = seen(frames([3, 2, 1, 0]).path(), &["--video-fps", "2"]);
    assert_eq!(forwards.1, backwards.1);
    assert_ne!(forwards.0, backwards.0);
}

#[test]
fn an_animated_gif_is_seen_as_its_frames() {
    let gif = fixture("images/animated.gif");
    let decoder = GifDecoder::new(BufReader::new(fs::File::open(&gif).unwrap())).unwrap();
    let decoded = decoder.into_frames().collect_frames().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut seconds = 0.0;
    for (number, frame) in decoded.iter().enumerate() {
        // A delay of 10 ms or less is one that nobody chose; browsers show such frames for 100 ms.
        let delay = Duration::from(frame.delay()).as_secs_f64();
        seconds += if delay <= 0.01 { 0.1 } else { delay };
        frame.buffer().save(folder.path().join(format!("{number}.png"))).unwrap();
    }
    let rate = (decoded.len() as f64 / seconds).to_string();
    // A GIF says how long it is, from which the reference chooses other frames than from the rate.
    seen(Path::new(&gif), &[]);
    let rate = ["--video-fps", &rate];
    assert_eq!(seen(Path::new(&gif), &rate), seen(folder.path(), &rate));
}

/// The golden's frames as a video file without loss; `None`, said on standard error, where there is
/// no `ffmpeg`.
fn video_file(folder: &Path) -> Option<std::path::PathBuf> {
    let path = folder.join("clip.mkv");
    let pattern = fixture("goldens/glm4v/video_v0_f%d.png");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-framerate", "2", "-i", &pattern])
        .args(["-c:v", "ffv1", "-pix_fmt", "bgr0"])
        .arg(&path)
        .output();
    match made {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("SKIPPED: ffmpeg is not installed, so no video file was read");
            None
        }
        made => {
            let made = made.unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            Some(path)
        }
    }
}

#[test]
fn a_video_file_is_seen_as_its_frames() {
    let folder = tempfile::tempdir().unwrap();
    let Some(video) = video_file(folder.path()) else { return };
    let found = seen(&video, &[]);
    assert_eq!(found, seen(frames([0, 1, 2, 3]).path(), &["--video-fps", "2"]));

    // Of a file that is cut, the frames that are whole are seen, if any.
    let whole = fs::read(&video).unwrap();
    fs::write(&video, &whole[..whole.len() / 2]).unwrap();
    let cut = describe(&video, &[]);
    let fewer =
        |run: &Run| run.json_lines()[0]["tokens"]["prompt"].as_u64() < found.1["prompt"].as_u64();
    assert!(cut.code == Some(1) || fewer(&cut), "{}", cut.stdout);
    fs::write(&video, &whole[..200]).unwrap();
    let cut = describe(&video, &[]);
    assert_eq!(cut.code, Some(1));
    assert!(cut.stderr.contains("clip.mkv"), "{}", cut.stderr);
}

#[test]
fn what_is_no_video_and_a_missing_ffmpeg_are_told() {
    let (_kept, nonsense) = file("clip.mp4", "no video");
    let refused = describe(Path::new(&nonsense), &[]);
    assert_eq!(refused.code, Some(1));
    for told in ["clip.mp4", "ffmpeg"] {
        assert!(refused.stderr.contains(told), "{}", refused.stderr);
    }
    let nowhere = tempfile::tempdir().unwrap();
    let command = &mut glm4v_tiny();
    command.env("PATH", nowhere.path()).args(["describe", "--video", &nonsense]);
    let refused = run(command);
    assert_eq!(refused.code, Some(1));
    for told in ["clip.mp4", "not installed", "a folder of frames or an animated GIF"] {
        assert!(refused.stderr.contains(told), "{}", refused.stderr);
    }
}
