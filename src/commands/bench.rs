//! `glm4v bench`: the speed of each phase, beside what the machine can do.

use crate::cli::{Console, DraftArg, Exit, ModelArgs, UsageError, print_json, print_line};
use anyhow::Context;
use candle_core::DType;
use glm4v::{LoadOptions, Model, Quantisation};
use glm4v_fusion::bench::{Bench, Limits, Phase, Work, shapes};
use image::{ImageFormat, Rgb, RgbImage};
use serde::Serialize;
use std::io::Cursor;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  glm4v bench
  glm4v bench --model glm-ocr --dtype bf16 --image page.png --draft mtp
  glm4v bench --shape glm-4v-9b --layers 8 --image 1120x1120 --json
  glm4v bench --shape glm-ocr --layers 4 --say receipt.txt --tokenizer GLM-OCR

Each phase runs once to warm up and then --rounds times; the median is shown. SHARE is of the
machine's own limit, which loops that do nothing else reach in the same run: arithmetic in the
model's type (of bytes with --quant) for vision and prefill, reading from memory for decode.";

/// Time each phase of a model on this machine
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Time a published shape with random weights in place of a model: glm-ocr, glm-4v-9b,
    /// glm-4.1v-9b or glm-4-9b
    #[arg(long, value_parser = shape)]
    shape: Option<String>,
    /// The most layers of the shape's decoder and of its tower
    #[arg(long, requires = "shape", value_name = "N")]
    layers: Option<usize>,
    /// An image file, or the size of a picture to make up
    #[arg(long, default_value = "448x336", value_name = "IMAGE|WxH")]
    image: String,
    /// Rows of the prompt; 0 leaves the decoder out
    #[arg(long, default_value_t = 512, value_name = "N")]
    prompt: usize,
    /// Tokens after the prompt
    #[arg(long, default_value_t = 16, value_name = "N")]
    decode: usize,
    /// Sequences whose tokens are made together, timed besides one alone
    #[arg(long, default_value_t = 8, value_name = "N")]
    batch: usize,
    /// The most tokens of an answer about the image that is made with drafts and without, in turn;
    /// 0 leaves that out, and so does --shape
    #[arg(long, default_value_t = 64, value_name = "N")]
    answer: usize,
    /// Where the drafts of that answer come from
    #[arg(long, default_value = "lookup")]
    draft: DraftArg,
    /// A text file that the decoder is made to say after the prompt, as if it had chosen each token,
    /// with guesses by look-up and without, in turn
    #[arg(long, value_name = "FILE")]
    say: Option<PathBuf>,
    /// The folder of the tokenizer that makes tokens of --say, where --shape has none
    #[arg(long, value_name = "FOLDER", requires = "shape", requires = "say")]
    tokenizer: Option<PathBuf>,
    /// Timed runs of each phase
    #[arg(long, default_value_t = 5, value_name = "N")]
    rounds: usize,
    /// Print one JSON object a line: the limits, then each phase
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    model: ModelArgs,
}

/// A line of JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Limits {
        model: &'a str,
        dtype: &'static str,
        quant: Option<&'static str>,
        threads: usize,
        f32_tflops: f64,
        bf16_tflops: Option<f64>,
        int8_tops: Option<f64>,
        read_gigabytes_per_second: f64,
    },
    Phase {
        #[serde(flatten)]
        phase: &'a Phase,
        share: Option<f64>,
    },
}

pub(crate) fn run(args: &Args, console: Console) -> anyhow::Result<Exit> {
    args.model.engine.build_thread_pool()?;
    let options = LoadOptions {
        prediction_layer: args.draft.needs_prediction_layer(),
        ..args.model.engine.load_options()
    };
    if args.say.is_some() && args.shape.is_some() && args.tokenizer.is_none() {
        return Err(UsageError("--say with --shape needs --tokenizer FOLDER".to_owned()).into());
    }
    let bench = match &args.shape {
        Some(shape) => Bench::of_shape(shape, args.layers, &options)?,
        None => Bench::of_model(&Model::load(&args.model.model, &options)?),
    };
    let say = match &args.say {
        Some(_) if args.prompt == 0 => {
            return Err(UsageError("--say needs a --prompt of at least one row".to_owned()).into());
        }
        Some(_) if !bench.can_say() => {
            let problem =
                "--say cannot time this model: its decoder keeps a state that has no way back";
            return Err(UsageError(problem.to_owned()).into());
        }
        Some(file) => {
            let text = std::fs::read_to_string(file);
            let text = text.with_context(|| format!("cannot read {}", file.display()))?;
            bench.tokens_of(&text, args.tokenizer.as_deref())?
        }
        None => Vec::new(),
    };
    glm4v_fusion::keep_freed_memory();
    let work = Work {
        image: image_bytes(&args.image)?,
        prompt: args.prompt,
        decode: args.decode,
        batch: args.batch,
        answer: args.answer,
        draft: args.draft.draft(),
        say,
        rounds: args.rounds,
    };
    console.detail("measuring the machine's limits");
    let limits = Limits::measure();
    let mut written = print_head(args.json, &bench, &limits);
    bench.run(&work, &mut |phase| {
        let share = share(phase, &limits, &bench);
        if written.is_ok() {
            written = print_phase(args.json, phase, share);
        }
    })?;
    written?;
    Ok(Exit::Done)
}

/// The share of the limit that bounds a phase.
fn share(phase: &Phase, limits: &Limits, bench: &Bench) -> Option<f64> {
    if phase.name.starts_with("decode") {
        return Some(phase.gigabytes_per_second? * 1e9 / limits.read);
    }
    let limit = match (bench.quant(), bench.dtype()) {
        (Some(_), _) => limits.int8,
        (None, DType::BF16) => limits.bf16,
        _ => None,
    };
    Some(phase.tflops? * 1e12 / limit.unwrap_or(limits.f32))
}

fn print_head(json: bool, bench: &Bench, limits: &Limits) -> std::io::Result<()> {
    let tera = |rate: f64| rate / 1e12;
    if json {
        return print_json(&Line::Limits {
            model: bench.name(),
            dtype: bench.dtype().as_str(),
            quant: bench.quant().map(Quantisation::name),
            threads: limits.threads,
            f32_tflops: tera(limits.f32),
            bf16_tflops: limits.bf16.map(tera),
            int8_tops: limits.int8.map(tera),
            read_gigabytes_per_second: limits.read / 1e9,
        });
    }
    let or_none = |rate: Option<f64>| rate.map_or("none".to_owned(), |r| format!("{:.2}", tera(r)));
    let kind = bench.quant().map_or(bench.dtype().as_str(), Quantisation::name);
    print_line(&format!("{}, {kind}", bench.name()))?;
    print_line(&format!(
        "limits of {} threads: f32 {:.2} TFLOP/s, bf16 {} TFLOP/s, int8 {} TOP/s, memory {:.1} GB/s",
        limits.threads,
        tera(limits.f32),
        or_none(limits.bf16),
        or_none(limits.int8),
        limits.read / 1e9,
    ))?;
    print_line(&row(["PHASE", "WORK", "MS", "LEAST MS", "TOKENS/S", "TFLOP/S", "GB/S", "SHARE"]))
}

fn print_phase(json: bool, phase: &Phase, share: Option<f64>) -> std::io::Result<()> {
    if json {
        return print_json(&Line::Phase { phase, share });
    }
    let number = |value: Option<f64>, digits: usize| match value {
        Some(value) => format!("{value:.digits$}"),
        None => "-".to_owned(),
    };
    print_line(&row([
        phase.name,
        &phase.work,
        &format!("{:.2}", phase.ms),
        &format!("{:.2}", phase.least_ms),
        &number(phase.tokens_per_second, 1),
        &number(phase.tflops, 3),
        &number(phase.gigabytes_per_second, 1),
        &share.map_or("-".to_owned(), |share| format!("{:.0} %", share * 100.0)),
    ]))?;
    match (phase.gain, phase.acceptance) {
        (Some(gain), Some(right)) => print_line(&format!(
            "  {:.0} % of the guesses were right; {gain:.2} x as fast as without them",
            right * 100.0
        ))?,
        (Some(_), None) => print_line("  there was nothing to guess from")?,
        (None, _) => {}
    }
    Ok(())
}

fn row([phase, work, ms, least, tokens, tflops, bytes, share]: [&str; 8]) -> String {
    format!("{phase:<14}{work:<16}{ms:>10}{least:>10}{tokens:>10}{tflops:>10}{bytes:>8}{share:>8}")
}

/// The bytes of an image file, or of a made-up picture as PNG.
fn image_bytes(image: &str) -> anyhow::Result<Vec<u8>> {
    let size = image.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    let Some((width, height)) = size else {
        return std::fs::read(image).with_context(|| format!("cannot read {image}"));
    };
    if width == 0 || height == 0 || u64::from(width) * u64::from(height) > 1 << 28 {
        return Err(
            UsageError(format!("--image {image}: expected a size of 1 to 2^28 pixels")).into()
        );
    }
    let mut bytes = Cursor::new(Vec::new());
    RgbImage::from_fn(width, height, pixel).write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

/// Bars on a shaded ground, as charts have them.
fn pixel(x: u32, y: u32) -> Rgb<u8> {
    let bar = x % 40 < 20 && y % 200 > (x / 40 * 37) % 160;
    if bar { Rgb([(x / 8) as u8, 90, 200]) } else { Rgb([255, 250 - (y / 16 % 32) as u8, 240]) }
}

fn shape(name: &str) -> Result<String, UsageError> {
    if shapes().any(|known| known == name) {
        return Ok(name.to_owned());
    }
    Err(UsageError(format!("expected one of {}", shapes().collect::<Vec<_>>().join(", "))))
}
