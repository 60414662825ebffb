//! Grey levels to the numbers a tower was trained on.

use crate::image::CHANNELS;

/// Channel means of the images that CLIP was trained on (`OPENAI_CLIP_MEAN` in transformers): what
/// every tower of the family expects, unless its config says otherwise.
pub(super) const CLIP_MEAN: [f32; CHANNELS] = [0.48145466, 0.4578275, 0.40821073];

/// Channel standard deviations, from the same place.
#[allow(clippy::excessive_precision, reason = "the digits as published")]
pub(super) const CLIP_STD: [f32; CHANNELS] = [0.26862954, 0.26130258, 0.27577711];

/// Grey levels of an 8-bit channel.
const LEVELS: usize = 256;

/// A table from grey level to normalised value for each channel: 8-bit pixels have no other values.
pub(super) type LevelTables = [[f32; LEVELS]; CHANNELS];

/// Fills the tables with `value(channel, level)`.
pub(super) fn level_tables(value: impl Fn(usize, f32) -> f32) -> LevelTables {
    let mut tables = [[0.0; LEVELS]; CHANNELS];
    for (channel, table) in tables.iter_mut().enumerate() {
        for (level, entry) in table.iter_mut().enumerate() {
            *entry = value(channel, level as f32);
        }
    }
    tables
}
