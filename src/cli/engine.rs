//! The model that a command uses, loaded when it is first needed.

use super::progress::download_progress;
use super::{Console, GenerateArgs, ModelArgs, UsageError, interrupt};
use glm4v::{CancelToken, LoadOptions, Model, NANO};
use std::cell::OnceCell;
use std::path::Path;
use std::time::Instant;

/// Said once in each run that uses the built-in model.
const NANO_NOTE: &str = "this is the built-in nano model. It reads short printed text in Latin \
letters and simple charts, and it errs. It knows nothing else: photos, handwriting, other scripts \
and whole pages need a larger model (--model; `glm4v models list`). -q hides this note.";

/// The model and what ends its work.
pub(crate) struct Engine<'a> {
    args: &'a ModelArgs,
    model: OnceCell<Model>,
    pub(crate) console: Console,
    pub(crate) cancel: CancelToken,
    prediction_layer: bool,
}

impl<'a> Engine<'a> {
    /// Readies threads and Ctrl-C. The model itself waits: an image that can't be read costs no
    /// loading.
    pub(crate) fn new(args: &'a ModelArgs, console: Console) -> anyhow::Result<Self> {
        let is_gguf =
            Path::new(&args.model).extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf"));
        if args.engine.mmproj.is_some() && !is_gguf {
            let message =
                format!("--mmproj goes with a .gguf file as --model, not with {}", args.model);
            return Err(UsageError(message).into());
        }
        args.engine.build_thread_pool()?;
        let cancel = interrupt::install()?;
        let model = OnceCell::new();
        Ok(Self { args, model, console, cancel, prediction_layer: false })
    }

    /// The same, loading what the drafts that were asked for need.
    pub(crate) fn drafting(self, args: &GenerateArgs) -> Self {
        Self { prediction_layer: args.needs_prediction_layer(), ..self }
    }

    /// What the user calls the model.
    pub(crate) fn name(&self) -> &str {
        &self.args.model
    }

    /// Where the model runs.
    pub(crate) fn device(&self) -> String {
        self.args.engine.device.to_string()
    }

    /// The model, which the first call loads and may download.
    pub(crate) fn model(&self) -> anyhow::Result<&Model> {
        if let Some(model) = self.model.get() {
            return Ok(model);
        }
        let started = Instant::now();
        let options = LoadOptions {
            prediction_layer: self.prediction_layer,
            ..self.args.engine.load_options()
        };
        let mut progress = download_progress(self.console);
        let model = Model::load_with_progress(self.name(), &options, &mut progress)?;
        glm4v_fusion::keep_freed_memory();
        let info = model.info();
        self.console.detail(&format!(
            "model: {} ({}), {:.1} million parameters, {}, context {} tokens, ready in {:.2} s",
            info.name,
            info.model_type,
            info.parameters as f64 / 1e6,
            info.dtype,
            info.context_length,
            started.elapsed().as_secs_f64(),
        ));
        if self.name() == NANO {
            self.console.note(NANO_NOTE);
        }
        Ok(self.model.get_or_init(|| model))
    }
}
