//! Tables of functions: smart-resize, frame choice, position grid, resampling.

use super::case::{read_json, read_tensors, reference_error};
use super::compare::{self, StageReport, TEXT_BOUND};
use super::{CaseReport, folder_name};
use crate::FusionError;
use candle_core::{Device, Tensor};
use glm4v_vision::{
    FrameSampler, Image, Resampler, SizeRule, VideoMetadata, resize, sample_position_grid,
    smart_resize,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Holds a table, given the path of its file.
type Hold = fn(&Path) -> Result<Vec<StageReport>, FusionError>;

/// The file of each table.
const TABLES: [(&str, Hold); 4] = [
    ("smart_resize.json", hold_smart_resize),
    ("video_sampling.json", hold_video_sampling),
    ("position_grid.safetensors", hold_position_grid),
    ("resize.json", hold_resize),
];

/// Whether a folder has any of the tables.
pub(super) fn is_folder_of_tables(folder: &Path) -> bool {
    TABLES.iter().any(|(file, _)| folder.join(file).is_file())
}

/// Holds the tables that are in a folder.
pub(super) fn run(folder: &Path, on_case: &mut dyn FnMut(CaseReport)) {
    let name = folder_name(folder);
    for (file, hold) in TABLES {
        let path = folder.join(file);
        if !path.is_file() {
            continue;
        }
        let table = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let stages =
            hold(&path).unwrap_or_else(|error| vec![compare::failed(&table, error.to_string())]);
        on_case(CaseReport { case: format!("{name}/{table}"), stages });
    }
}

/// A row of a table: what it is about, what we find, what the reference has.
struct Row<T> {
    label: String,
    ours: Vec<T>,
    reference: Vec<T>,
}

fn rows<T: PartialEq + std::fmt::Debug>(stage: &str, rows: Vec<Row<T>>) -> StageReport {
    let mut report = compare::equal::<T>(stage, &[], &[]);
    for row in &rows {
        let one = compare::equal(stage, &row.ours, &row.reference);
        report.values += one.values;
        report.max_error += one.max_error;
        if let (Some(how), None) = (one.first_difference, &report.first_difference) {
            report.first_difference = Some(format!("{}: {how}", row.label));
        }
    }
    report.max_relative_error = report.max_error / report.values.max(1) as f64;
    report.passed = report.first_difference.is_none() && !rows.is_empty();
    report
}

#[derive(Deserialize)]
struct SmartResizeRow {
    num_frames: usize,
    min_pixels: u64,
    max_pixels: u64,
    height: u32,
    width: u32,
    /// Missing where the reference refuses the size.
    resized: Option<[u32; 2]>,
}

fn hold_smart_resize(path: &Path) -> Result<Vec<StageReport>, FusionError> {
    let table: Vec<SmartResizeRow> = read_json(path)?;
    let row = |row: &SmartResizeRow| {
        let SmartResizeRow { num_frames, min_pixels, max_pixels, height, width, .. } = *row;
        // The table is made with the published patch, 2 frames of 14 × 14, and 2 × 2 of them merged.
        let rule = SizeRule { factor: 28, temporal_factor: 2, min_pixels, max_pixels };
        let ours = match smart_resize(num_frames, height, width, &rule) {
            Ok((height, width)) => vec![height, width],
            Err(_) => Vec::new(),
        };
        let label = format!("{num_frames} frames of {height} x {width}");
        Row { label, ours, reference: row.resized.into_iter().flatten().collect() }
    };
    Ok(vec![rows("smart_resize", table.iter().map(row).collect())])
}

#[derive(Deserialize)]
struct VideoSamplingRow {
    processor: String,
    fps: f64,
    total_frames: usize,
    duration: Option<f64>,
    indices: Vec<usize>,
}

fn hold_video_sampling(path: &Path) -> Result<Vec<StageReport>, FusionError> {
    let table: Vec<VideoSamplingRow> = read_json(path)?;
    let mut by_processor: BTreeMap<String, Vec<Row<usize>>> = BTreeMap::new();
    for row in table {
        let VideoSamplingRow { processor, fps, total_frames, duration, indices } = row;
        let sampler = match processor.as_str() {
            "Glm4v" => FrameSampler::Glm4v { fps: 2.0, max_duration: 300.0 },
            "Glm46V" => FrameSampler::Glm46v { temporal_patch_size: 2 },
            _ => {
                let reason = format!("the table names an unknown processor, {processor:?}");
                return Err(reference_error(path, reason));
            }
        };
        let ours = sampler.choose(&VideoMetadata { fps, total_frames, duration })?;
        let label = format!("{total_frames} frames at {fps} a second");
        let row = Row { label, ours, reference: indices };
        by_processor.entry(processor).or_default().push(row);
    }
    let stage = |(processor, table)| rows(&format!("video_sampling {processor}"), table);
    Ok(by_processor.into_iter().map(stage).collect())
}

/// `table` is `(side², width)`; `sampled_HxW` is `(H · W, width)`.
fn hold_position_grid(path: &Path) -> Result<Vec<StageReport>, FusionError> {
    let tensors = read_tensors(path)?;
    let missing = || reference_error(path, "there is no tensor `table`".into());
    let table = tensors.get("table").ok_or_else(missing)?;
    let side = table.dim(0)?.isqrt();
    let hold = |(name, reference): (&String, &Tensor)| {
        let size = name.strip_prefix("sampled_").and_then(|size| size.split_once('x'));
        let size = size.and_then(|(h, w)| Some((h.parse().ok()?, w.parse().ok()?)));
        let Some((height, width)) = size else {
            return Ok(compare::failed(name, "not `table` and not `sampled_HxW`".into()));
        };
        let ours = sample_position_grid(table, side, height, width)?;
        compare::floats(&format!("position_grid {name}"), &ours, reference, TEXT_BOUND)
    };
    tensors.iter().filter(|(name, _)| *name != "table").map(hold).collect()
}

#[derive(Deserialize)]
struct ResizeRow {
    file: String,
    target_width: usize,
    target_height: usize,
}

/// `pil_N` and `torchvision_N` are `(target_height, target_width, 3)`, 8 bits.
fn hold_resize(path: &Path) -> Result<Vec<StageReport>, FusionError> {
    let table: Vec<ResizeRow> = read_json(path)?;
    let tensors = read_tensors(&path.with_extension("safetensors"))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut stages = Vec::new();
    for (at, row) in table.iter().enumerate() {
        let image = Image::open(folder.join(&row.file))?;
        let backends = [("pil", Resampler::Pillow), ("torchvision", Resampler::Torchvision)];
        for (backend, resampler) in backends {
            let Some(reference) = tensors.get(&format!("{backend}_{at}")) else { continue };
            let ours = resize(image.pixels(), row.target_height, row.target_width, resampler);
            let shape = ours.dim();
            let ours = Tensor::from_vec(ours.into_raw_vec_and_offset().0, shape, &Device::Cpu)?;
            let stage = format!("resize {backend} {}", row.file);
            stages.push(compare::pixels(&stage, &ours, reference, 1.0, &[1.0], |_| 0)?);
        }
    }
    if stages.len() != tensors.len() {
        let reason = format!("{} tensors, {} held against the table", tensors.len(), stages.len());
        stages.push(compare::failed("resize", reason));
    }
    Ok(stages)
}
