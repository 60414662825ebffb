//! From a prompt to greedy tokens: ids, positions, the splice, the decoder's stages, the session.

use super::case::{Case, integers, reference_error, sequence};
use super::compare;
use super::stages::Stages;
use crate::options::CancelToken;
use crate::session::{Session, embed_rows};
use crate::splice::{Piece, Spliced};
use crate::visual::VisionModel;
use crate::{FusionError, Model, VisualTokens};
use candle_core::{Device, Tensor};
use glm4v_kernels::Trace;
use glm4v_language::{Message, Sampler, SamplingOptions};
use std::num::NonZeroUsize;

/// Rows of a prefill chunk: few, so that the prompts of references are cut into several, and their
/// images too.
const PREFILL_CHUNK: NonZeroUsize = NonZeroUsize::MIN.saturating_add(6);

/// One sequence of a case's batch.
pub(super) struct Sequence<'a> {
    pub(super) model: &'a Model,
    pub(super) case: &'a Case,
    /// Which one of the batch.
    pub(super) index: usize,
    /// Bound on the decoder's stages.
    pub(super) bound: f64,
}

impl Sequence<'_> {
    /// Holds all stages after the tower.
    pub(super) fn run(
        &self,
        visuals: &[VisualTokens],
        stages: &mut Stages<'_>,
    ) -> Result<(), FusionError> {
        let ids = self.encode()?;
        let prompt = self.model.splice(&ids, visuals)?;
        self.hold_ids(&ids, &prompt, stages);
        self.hold_positions(&prompt, stages);
        self.hold_decoder(&prompt, stages)?;
        self.hold_greedy(&prompt, stages)
    }

    fn encode(&self) -> Result<Vec<u32>, FusionError> {
        let wrong = |reason: String| reference_error(&self.case.folder, reason);
        let file = &self.case.file;
        if let Some(messages) = &file.messages {
            let messages: Result<Vec<Message>, _> =
                messages.iter().map(|message| message.to_message()).collect();
            return self.model.encode(&messages.map_err(wrong)?, None, None);
        }
        let prompt = match &file.prompts {
            Some(prompts) => prompts.get(self.index),
            None => file.prompt.as_ref(),
        };
        let prompt = prompt.ok_or_else(|| wrong("the case has no prompt".into()))?;
        Ok(self.model.inner().tokenizer.encode(prompt)?)
    }

    /// The reference's ids have an image id for each row of an image; in GLM-4V-9B they don't.
    fn hold_ids(&self, ids: &[u32], prompt: &Spliced, stages: &mut Stages<'_>) {
        let ids = match &self.model.inner().parts.vision {
            Some(VisionModel::SmartResize(vision)) => {
                let expand = |piece: &Piece| match piece {
                    Piece::Text(ids) => ids.clone(),
                    Piece::Visual { rows, .. } => vec![vision.image_id; rows.len()],
                };
                prompt.pieces.iter().flat_map(expand).collect()
            }
            _ => ids.to_vec(),
        };
        let stage = self.stage("prompt_ids");
        let reference = self.case.file.input_ids.sequence(self.index);
        stages.push(&stage, Ok(compare::equal(&stage, &ids, reference)));
        let ids: Vec<i64> = ids.into_iter().map(i64::from).collect();
        stages.hold("input_ids", |reference| {
            let reference = integers(&sequence(reference, self.index, ids.len())?)?;
            Ok(compare::equal(&self.stage("input_ids"), &ids, &reference))
        });
    }

    /// Positions are `(axes, batch, length)` or, where there is one axis, `(batch, length)`.
    fn hold_positions(&self, prompt: &Spliced, stages: &mut Stages<'_>) {
        let rows = prompt.rows();
        stages.hold("position_ids", |reference| {
            let axes = if reference.rank() == 3 { reference.dim(0)? } else { 1 };
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for axis in 0..axes {
                let axis_reference =
                    if reference.rank() == 3 { reference.get(axis)? } else { reference.clone() };
                theirs.extend(integers(&sequence(&axis_reference, self.index, rows)?)?);
                ours.extend(prompt.positions.iter().map(|at| i64::from(at.axis(axis))));
            }
            Ok(compare::equal(&self.stage("position_ids"), &ours, &theirs))
        });
        stages.hold("rope_deltas", |reference| {
            let delta = i64::from(prompt.next_position) - rows as i64;
            let reference = integers(&reference.get(self.index)?)?;
            Ok(compare::equal(&self.stage("rope_deltas"), &[delta], &reference))
        });
    }

    /// Runs the whole prompt at once and holds what each layer gives, and the logits of all rows.
    fn hold_decoder(&self, prompt: &Spliced, stages: &mut Stages<'_>) -> Result<(), FusionError> {
        let decoder = self.model.decoder();
        let rows = embed_rows(decoder, prompt, |ids| decoder.embed(ids))?; // (length, hidden)
        // The one is the embedding table's output, the other what the splice made of it.
        for name in ["embeddings", "inputs_embeds"] {
            self.hold_rows(name, &rows, stages);
        }
        let (mut cache, mut trace) = (decoder.new_cache(), Trace::on());
        let hidden = decoder.forward(&rows, &prompt.positions, &mut cache, &mut trace)?;
        for (name, value) in trace.stages() {
            self.hold_rows(name, value, stages);
            self.hold_rows(&format!("lm_{name}"), value, stages); // as vision models call it
        }
        let logits = decoder.logits(&hidden)?;
        self.hold_logits("logits", &logits, logits.dim(0)?, stages);
        Ok(())
    }

    /// Holds logits `(length, vocabulary)` against those of this sequence. The first `alike` rows
    /// follow the same tokens, and are compared as distributions too.
    fn hold_logits(&self, name: &str, ours: &Tensor, alike: usize, stages: &mut Stages<'_>) {
        stages.hold(name, |reference| {
            let reference = sequence(reference, self.index, ours.dim(0)?)?;
            let report = compare::floats(&self.stage(name), ours, &reference, self.bound)?;
            let (ours, reference) = (ours.narrow(0, 0, alike)?, reference.narrow(0, 0, alike)?);
            let divergence = compare::Divergence::of(&ours, &reference).ok();
            Ok(compare::StageReport { divergence, ..report })
        });
    }

    /// Holds rows `(length, width)` against those of this sequence.
    fn hold_rows(&self, name: &str, ours: &Tensor, stages: &mut Stages<'_>) {
        stages.hold(name, |reference| {
            let reference = sequence(reference, self.index, ours.dim(0)?)?;
            compare::floats(&self.stage(name), ours, &reference, self.bound)
        });
    }

    /// Runs a session as answers do, in chunks and then token by token, without stop tokens.
    fn hold_greedy(&self, prompt: &Spliced, stages: &mut Stages<'_>) -> Result<(), FusionError> {
        let reference = self.case.file.greedy_tokens.sequence(self.index);
        if reference.is_empty() {
            return Err(reference_error(&self.case.folder, "the case has no greedy tokens".into()));
        }
        let mut sampler = Sampler::new(SamplingOptions::default())?;
        let mut session = Session::new(self.model.decoder()).with_prefill_chunk(PREFILL_CHUNK);
        let mut logits = session.prefill(self.model, prompt, &CancelToken::default())?;
        let (mut tokens, mut steps) = (Vec::new(), Vec::new());
        while tokens.len() < reference.len() {
            let token = sampler.sample(&logits, &[])?.token;
            tokens.push(token);
            steps.extend(std::mem::take(&mut logits));
            if tokens.len() < reference.len() {
                logits = session.step(self.model, token)?;
            }
        }
        let ours = Tensor::from_vec(steps, (tokens.len(), ()), &Device::Cpu)?;
        let same = tokens.iter().zip(reference).take_while(|(ours, theirs)| ours == theirs).count();
        self.hold_logits("greedy_step_logits", &ours, (same + 1).min(tokens.len()), stages);
        let stage = self.stage("greedy_tokens");
        stages.push(&stage, Ok(compare::equal(&stage, &tokens, reference)));
        Ok(())
    }

    fn stage(&self, name: &str) -> String {
        match self.case.sequences() {
            1 => name.to_owned(),
            _ => format!("{name}, sequence {}", self.index),
        }
    }
}
