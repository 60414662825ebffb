//! Antialiased bicubic resizing of 8-bit RGB, equal to the reference's two backends.
//!
//! Both resize in two passes, rows first, and round to 8 bits between the passes; they differ in
//! the precision of the weights alone. A float resize without that rounding is up to 14 grey
//! levels away. Sources: `Resample.c` of Pillow 11, `UpSampleKernel.cpp` of PyTorch.

use ndarray::{Array3, ArrayView3, CowArray, Ix3};
use rayon::prelude::*;

/// Sharpness of the cubic kernel with antialiasing, in both references.
const A: f64 = -0.5;

/// Half the width of the cubic kernel, in source pixels when nothing is shrunk.
const SUPPORT: f64 = 2.0;

/// Bits after the point in Pillow's weights: 32 less 8 for the pixel and 2 for headroom. PyTorch
/// stops there too, where its 16-bit weights would allow for more.
const MAX_PRECISION: u32 = 22;

/// Channels of a pixel.
const RGB: usize = 3;

/// Rows that one task of the thread pool takes at least; fewer cost more to hand out.
const MIN_ROWS: usize = 8;

/// Whose rounding of the weights to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resampler {
    /// 16-bit weights: torchvision on 8-bit tensors, the reference's default for `glm4v`.
    Torchvision,
    /// 22-bit weights: Pillow up to 11 (later ones may take columns first). GLM-4V-9B's own path.
    Pillow,
}

/// Resizes RGB pixels `(height, width, 3)` to `(new_height, new_width, 3)`, ignoring the aspect
/// ratio.
pub fn resize(
    pixels: ArrayView3<'_, u8>,
    new_height: usize,
    new_width: usize,
    resampler: Resampler,
) -> Array3<u8> {
    match resampler {
        Resampler::Torchvision => two_passes(pixels, new_height, new_width, i16_taps),
        Resampler::Pillow => two_passes(pixels, new_height, new_width, i32_taps),
    }
}

fn two_passes<W: Weight>(
    pixels: ArrayView3<'_, u8>,
    new_height: usize,
    new_width: usize,
    taps: fn(usize, usize) -> Taps<W>,
) -> Array3<u8> {
    let (height, width, _) = pixels.dim();
    let source = pixels.as_standard_layout();
    // A pass that would keep the size is skipped, as in both references.
    let fitted = if new_width == width {
        source
    } else {
        CowArray::from(resize_rows(&source, new_width, &taps(width, new_width)))
    };
    if new_height == height {
        fitted.into_owned()
    } else {
        resize_columns(&fitted, new_height, &taps(height, new_height))
    }
}

/// A fixed-point weight of either precision.
trait Weight: Copy + Into<i32> + Send + Sync {}
impl Weight for i16 {}
impl Weight for i32 {}

/// For every target pixel of one axis, the source pixels it is made of and their weights.
struct Taps<W> {
    /// First source pixel of each target pixel.
    starts: Vec<usize>,
    /// Where each target pixel's weights begin in `weights`; one more entry ends the last.
    bounds: Vec<usize>,
    weights: Vec<W>,
    /// Bits after the point in `weights`.
    precision: u32,
}

impl<W: Weight> Taps<W> {
    /// The first source pixel and the weights of every target pixel, in order.
    fn iter(&self) -> impl Iterator<Item = (usize, &[W])> {
        let weights = self.bounds.windows(2).map(|b| &self.weights[b[0]..b[1]]);
        self.starts.iter().copied().zip(weights)
    }

    /// What a sum of weighted pixels starts from, so that shifting it down rounds to nearest.
    fn half(&self) -> i32 {
        1 << (self.precision - 1)
    }
}

/// Taps with real weights, each target pixel's adding up to 1.
fn real_taps(source: usize, target: usize) -> Taps<f64> {
    let scale = source as f64 / target as f64;
    let stretch = scale.max(1.0); // the kernel widens when shrinking: the antialiasing
    let (support, shrink) = (SUPPORT * stretch, 1.0 / stretch);
    let mut taps = Taps { starts: vec![], bounds: vec![0], weights: vec![], precision: 0 };
    for i in 0..target {
        let center = scale * (i as f64 + 0.5);
        let start = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(source);
        let window = start..end.max(start);
        let weight = |x: usize| cubic((x as f64 - center + 0.5) * shrink);
        let total: f64 = window.clone().map(weight).sum();
        taps.weights.extend(window.map(|x| weight(x) / total));
        taps.starts.push(start);
        taps.bounds.push(taps.weights.len());
    }
    taps
}

/// The cubic convolution kernel (Keys 1981).
fn cubic(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// Pillow's taps.
fn i32_taps(source: usize, target: usize) -> Taps<i32> {
    let Taps { starts, bounds, weights, .. } = real_taps(source, target);
    let one = f64::from(1u32 << MAX_PRECISION);
    let weights = weights.into_iter().map(|w| (w * one).round() as i32).collect();
    Taps { starts, bounds, weights, precision: MAX_PRECISION }
}

/// torchvision's taps: the most bits with which the largest weight still fits 16 bits.
fn i16_taps(source: usize, target: usize) -> Taps<i16> {
    let Taps { starts, bounds, weights, .. } = real_taps(source, target);
    let largest = weights.iter().copied().fold(0.0, f64::max);
    let fits = |bits: u32| (0.5 + largest * f64::from(1u32 << bits)) < f64::from(1u32 << 15);
    let precision = (1..=MAX_PRECISION).take_while(|&bits| fits(bits)).last().unwrap_or(1);
    let one = f64::from(1u32 << precision);
    let weights = weights.into_iter().map(|w| (w * one).round() as i16).collect();
    Taps { starts, bounds, weights, precision }
}

/// Makes every row `new_width` pixels wide.
fn resize_rows<W: Weight>(
    source: &CowArray<'_, u8, Ix3>,
    new_width: usize,
    taps: &Taps<W>,
) -> Array3<u8> {
    let (height, width, _) = source.dim();
    let mut resized = Array3::zeros((height, new_width, RGB));
    let (rows, _) = source.as_slice().unwrap_or_default().as_chunks::<RGB>();
    let (out, _) = resized.as_slice_mut().unwrap_or_default().as_chunks_mut::<RGB>();
    out.par_chunks_exact_mut(new_width.max(1))
        .zip(rows.par_chunks_exact(width.max(1)))
        .with_min_len(MIN_ROWS)
        .for_each(|(out, row)| resize_row(row, out, taps));
    resized
}

fn resize_row<W: Weight>(row: &[[u8; RGB]], out: &mut [[u8; RGB]], taps: &Taps<W>) {
    for (pixel, (start, weights)) in out.iter_mut().zip(taps.iter()) {
        let mut sums = [taps.half(); RGB];
        for (&[r, g, b], &weight) in row[start..].iter().zip(weights) {
            let weight = weight.into();
            sums[0] += i32::from(r) * weight;
            sums[1] += i32::from(g) * weight;
            sums[2] += i32::from(b) * weight;
        }
        *pixel = sums.map(|sum| to_u8(sum, taps.precision));
    }
}

/// Makes the image `new_height` rows high.
fn resize_columns<W: Weight>(
    source: &CowArray<'_, u8, Ix3>,
    new_height: usize,
    taps: &Taps<W>,
) -> Array3<u8> {
    let (_, width, _) = source.dim();
    let row_len = (width * RGB).max(1);
    let rows = source.as_slice().unwrap_or_default();
    let mut resized = Array3::zeros((new_height, width, RGB));
    let windows: Vec<_> = taps.iter().collect();
    resized
        .as_slice_mut()
        .unwrap_or_default()
        .par_chunks_exact_mut(row_len)
        .zip(windows)
        .with_min_len(MIN_ROWS)
        .for_each_init(
            || vec![0; row_len],
            |sums, (out, (start, weights))| {
                sums.fill(taps.half());
                for (row, &weight) in rows.chunks_exact(row_len).skip(start).zip(weights) {
                    let weight = weight.into();
                    for (sum, &value) in sums.iter_mut().zip(row) {
                        *sum += i32::from(value) * weight;
                    }
                }
                for (out, &sum) in out.iter_mut().zip(sums.iter()) {
                    *out = to_u8(sum, taps.precision);
                }
            },
        );
    resized
}

/// A fixed-point sum as a grey level.
fn to_u8(sum: i32, precision: u32) -> u8 {
    (sum >> precision).clamp(0, 255) as u8
}
