//! Decoded samples of every kind to 8-bit RGB.

use super::AlphaMode;
use image::ColorType;

/// Turns pixels of `color` (native-endian samples, as `image` decoders write them) into RGB8.
///
/// Where a pixel does not grow this happens in the buffer itself, so that peak memory stays at the
/// decoded size. `None` for kinds of samples that no decoder here gives.
pub(super) fn to_rgb8(samples: Vec<u8>, color: ColorType, alpha: AlphaMode) -> Option<Vec<u8>> {
    let channels = color.channel_count();
    let samples = match color.bytes_per_pixel() / channels {
        1 => samples,
        2 => shrink(samples, |v: [u8; 2]| [to_8_bits(u16::from_ne_bytes(v))]),
        4 => shrink(samples, |v: [u8; 4]| [unit_to_u8(f32::from_ne_bytes(v))]),
        _ => return None,
    };
    let blend = match alpha {
        AlphaMode::White => over_white,
        AlphaMode::Drop => |level, _| level,
    };
    Some(match channels {
        1 => grow(&samples, |[l]: [u8; 1]| [l; 3]),
        2 => grow(&samples, |[l, a]: [u8; 2]| [blend(l, a); 3]),
        3 => samples,
        4 => shrink(samples, |[r, g, b, a]: [u8; 4]| [blend(r, a), blend(g, a), blend(b, a)]),
        _ => return None,
    })
}

/// Maps pixels of `FROM` bytes to no more than as many, front to back in place.
fn shrink<const FROM: usize, const TO: usize>(
    mut data: Vec<u8>,
    convert: impl Fn([u8; FROM]) -> [u8; TO],
) -> Vec<u8> {
    let pixels = data.len() / FROM;
    for i in 0..pixels {
        let mut from = [0; FROM];
        from.copy_from_slice(&data[i * FROM..(i + 1) * FROM]);
        data[i * TO..(i + 1) * TO].copy_from_slice(&convert(from));
    }
    data.truncate(pixels * TO);
    data.shrink_to_fit(); // turning it upright takes another copy
    data
}

/// Maps pixels of `FROM` bytes to RGB.
fn grow<const FROM: usize>(data: &[u8], convert: impl Fn([u8; FROM]) -> [u8; 3]) -> Vec<u8> {
    let (pixels, _) = data.as_chunks::<FROM>();
    let mut rgb = Vec::with_capacity(pixels.len() * 3);
    for &pixel in pixels {
        rgb.extend_from_slice(&convert(pixel));
    }
    rgb
}

/// A grey level of `alpha` opacity in front of white.
fn over_white(level: u8, alpha: u8) -> u8 {
    let (level, alpha) = (u32::from(level), u32::from(alpha));
    ((level * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

/// The nearest of 256 levels to one of 65,536.
fn to_8_bits(level: u16) -> u8 {
    ((u32::from(level) + 128) / 257) as u8
}

/// The nearest of 256 levels to a float of 0 to 1; what lies outside is clamped, NaN becomes 0.
fn unit_to_u8(level: f32) -> u8 {
    (level * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_scale_and_do_not_clip() {
        for level in 0..=u16::MAX {
            let exact = (f64::from(level) * 255.0 / 65535.0).round();
            assert_eq!(f64::from(to_8_bits(level)), exact, "{level}");
        }
    }

    #[test]
    fn alpha_is_laid_on_white_or_dropped() {
        let pixel = [vec![10, 200, 0, 0], vec![10, 200, 0, 255], vec![10, 200, 0, 128]].concat();
        let white = to_rgb8(pixel.clone(), ColorType::Rgba8, AlphaMode::White).unwrap();
        assert_eq!(white, [255, 255, 255, 10, 200, 0, 132, 227, 127]);
        let dropped = to_rgb8(pixel, ColorType::Rgba8, AlphaMode::Drop).unwrap();
        assert_eq!(dropped, [10, 200, 0, 10, 200, 0, 10, 200, 0]);
        let grey = to_rgb8(vec![40, 0, 40, 255], ColorType::La8, AlphaMode::White).unwrap();
        assert_eq!(grey, [255, 255, 255, 40, 40, 40]);
    }

    #[test]
    fn floats_are_clamped() {
        let samples: Vec<u8> =
            [-1.0f32, 0.5, f32::NAN].iter().flat_map(|v| v.to_ne_bytes()).collect();
        assert_eq!(to_rgb8(samples, ColorType::Rgb32F, AlphaMode::White).unwrap(), [0, 128, 0]);
    }
}
