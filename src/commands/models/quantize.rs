//! `glm4v models quantize`: a model as GGUF files of fewer bits.

use super::locate;
use crate::cli::{Console, Exit, UsageError, byte_bar, file_form, print_line};
use glm4v::{LoadOptions, NANO};
use glm4v_fusion::quantise::exceptions;
use glm4v_fusion::{export, nano_checkpoint, open_checkpoint};
use glm4v_weights::{BlockType, StoredType};
use std::path::PathBuf;

/// Write a model as a GGUF file, of fewer bits or not, which llama.cpp loads too
///
/// Models with eyes get a second file, mmproj-OUT, for tower and projector. docs/QUANTISATION.md
/// says which tensors get which type, and what is lost.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A folder, a GGUF file, a hub id or short name that is in the cache, or `nano`
    #[arg(value_name = "IN")]
    model: String,
    /// The file to write; it must not be there yet
    #[arg(value_name = "OUT.gguf")]
    out: PathBuf,
    /// What matrices become: q4_0, q4_1, q4_k, q5_0, q5_1, q5_k, q6_k or q8_0, or f16, bf16 or f32
    #[arg(long, value_parser = file_form, value_name = "TYPE")]
    quant: StoredType,
}

pub(super) fn run(args: &Args, console: Console) -> anyhow::Result<Exit> {
    if !args.out.extension().is_some_and(|end| end.eq_ignore_ascii_case("gguf")) {
        let message = format!("{}: its name must end in .gguf", args.out.display());
        return Err(UsageError(message).into());
    }
    let checkpoint = if args.model == NANO {
        nano_checkpoint()?
    } else {
        open_checkpoint(&locate(&args.model)?, &LoadOptions::default())?
    };
    let exceptions = match args.quant {
        StoredType::Blocks(blocks) => exceptions(&checkpoint, blocks),
        StoredType::Plain(_) => Vec::new(),
    };
    if let Some((name, blocks)) = exceptions.first() {
        console.note(&format!(
            "{} matrices have rows that are no whole blocks, such as {name}, which becomes {}",
            exceptions.len(),
            blocks.map_or("f32", BlockType::name),
        ));
    }
    let bar = byte_bar(console);
    let written = export(&checkpoint, &args.out, args.quant, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })?;
    bar.finish_and_clear();
    for path in [Some(&written.model), written.mmproj.as_ref()].into_iter().flatten() {
        print_line(&path.display().to_string())?;
    }
    console.note(&format!("{:.1} MB written", written.bytes as f64 / 1e6));
    Ok(Exit::Done)
}
