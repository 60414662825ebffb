//! Text configs in the Hugging Face form, in the key styles of transformers 4 and 5.

use super::{DecoderConfig, MoeConfig, RotaryConfig, YarnConfig};
use crate::LanguageError;
use glm4v_kernels::RotaryLayout;
use serde::Deserialize;

/// A text config as `config.json` has it: at top level for text models, under `text_config` for
/// vision models. Missing keys get the defaults of transformers' config class for the family.
#[derive(Clone, Debug, Deserialize)]
pub struct TextConfig {
    /// Width of a row.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads; as many as query heads when missing.
    pub num_key_value_heads: Option<usize>,
    /// Width of a head; `hidden_size / num_attention_heads` when missing.
    pub head_dim: Option<usize>,
    /// Inner width of the MLP.
    pub intermediate_size: usize,
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// The longest sequence, in tokens.
    pub max_position_embeddings: usize,
    /// Epsilon of the RMS norms.
    pub rms_norm_eps: Option<f64>,
    /// Whether the query, key and value projections have biases.
    pub attention_bias: Option<bool>,
    /// Whether the head is the embedding table.
    pub tie_word_embeddings: Option<bool>,
    /// Rotary base, in the older style.
    pub rope_theta: Option<f64>,
    /// Share of each head that turns, in the older style.
    pub partial_rotary_factor: Option<f64>,
    /// Rotary variant and sections, in the older style.
    pub rope_scaling: Option<RopeParameters>,
    /// Everything about rotary positions, in the newer style.
    pub rope_parameters: Option<RopeParameters>,
    /// The experts, of a family that has them.
    #[serde(flatten)]
    pub moe: MoeConfig,
}

/// `rope_parameters`, or `rope_scaling` of the older style.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct RopeParameters {
    /// Variant: `default` or `yarn`.
    pub rope_type: Option<String>,
    /// The same in older files; some have both.
    #[serde(rename = "type")]
    pub older_rope_type: Option<String>,
    /// Rotary base.
    pub rope_theta: Option<f64>,
    /// Share of each head that turns.
    pub partial_rotary_factor: Option<f64>,
    /// Runs of frequencies that follow time, height and width.
    pub mrope_section: Option<Vec<usize>>,
    /// YaRN: how many times longer sequences may be.
    pub factor: Option<f64>,
    /// YaRN: the length that the model was trained on.
    pub original_max_position_embeddings: Option<usize>,
    /// YaRN: what cosines and sines are multiplied by.
    pub attention_factor: Option<f64>,
    /// YaRN: turns above which a channel keeps its frequency.
    pub beta_fast: Option<f64>,
    /// YaRN: turns below which a channel is slowed down in full.
    pub beta_slow: Option<f64>,
    /// YaRN: with the next, in the place of `attention_factor`.
    pub mscale: Option<f64>,
    /// YaRN: divides what `mscale` gives.
    pub mscale_all_dim: Option<f64>,
    /// YaRN: whether the ends of the ramp are whole channels.
    pub truncate: Option<bool>,
}

impl RopeParameters {
    /// YaRN's numbers, for a model whose config says `context` positions.
    fn yarn(&self, context: usize) -> YarnConfig {
        let positive = |value: Option<f64>| value.filter(|&value| value != 0.0);
        let original_length = self.original_max_position_embeddings.unwrap_or(context);
        let by_length = || context as f64 / original_length.max(1) as f64;
        let factor = self.factor.unwrap_or_else(by_length);
        let recommended = |mscale| YarnConfig::default_attention_factor(factor, mscale);
        let attention_factor = match (positive(self.mscale), positive(self.mscale_all_dim)) {
            (Some(one), Some(all)) => recommended(one) / recommended(all),
            _ => recommended(1.0),
        };
        YarnConfig {
            factor,
            original_length,
            attention_factor: self.attention_factor.unwrap_or(attention_factor),
            beta_fast: positive(self.beta_fast).unwrap_or(32.0),
            beta_slow: positive(self.beta_slow).unwrap_or(1.0),
            truncate: self.truncate.unwrap_or(true),
        }
    }
}

/// The decoder families, which differ in what their config class takes for granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFamily {
    /// GLM-4-9B in the Hugging Face form.
    Glm,
    /// GLM-4-0414.
    Glm4,
    /// The decoder of GLM-4.1V and GLM-4.6V-Flash.
    Glm4v,
    /// The decoder of GLM-4.5V and GLM-4.6V, with experts.
    Glm4vMoe,
    /// The decoder of GLM-OCR.
    GlmOcr,
}

impl TextFamily {
    fn default_eps(self) -> f64 {
        match self {
            Self::Glm | Self::Glm4 => 1.5625e-7,
            Self::Glm4v | Self::Glm4vMoe | Self::GlmOcr => 1e-5,
        }
    }

    fn default_partial_rotary_factor(self) -> f64 {
        match self {
            Self::Glm | Self::Glm4 | Self::Glm4vMoe => 0.5,
            Self::Glm4v | Self::GlmOcr => 1.0,
        }
    }

    /// Some vision models' classes fix this; the other models' configs say it.
    fn qkv_bias(self, attention_bias: Option<bool>) -> bool {
        match self {
            Self::Glm | Self::Glm4 | Self::Glm4vMoe => attention_bias.unwrap_or(true),
            Self::Glm4v => true,
            Self::GlmOcr => false,
        }
    }

    /// Whether attention and MLP have a norm after them.
    fn output_norms(self) -> bool {
        !matches!(self, Self::Glm | Self::Glm4vMoe)
    }

    fn rotary_layout(self) -> RotaryLayout {
        match self {
            Self::Glm4vMoe => RotaryLayout::HalfSplit,
            _ => RotaryLayout::Interleaved,
        }
    }
}

impl TextConfig {
    /// The decoder that this config describes. `tied` is the top level's `tie_word_embeddings`,
    /// which vision models have beside the text config.
    ///
    /// # Errors
    /// [`LanguageError::Config`] when the rotary variant is not supported or numbers don't fit.
    pub fn decoder(
        &self,
        family: TextFamily,
        tied: Option<bool>,
    ) -> Result<DecoderConfig, LanguageError> {
        if self.num_attention_heads == 0 {
            return Err(LanguageError::config("num_attention_heads", "it is 0".into()));
        }
        let head_dim = self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads);
        let rotary = self.rotary(family, head_dim)?;
        let stretched = rotary
            .yarn
            .as_ref()
            .map_or(0, |yarn| (yarn.factor * yarn.original_length as f64) as usize);
        let config = DecoderConfig {
            hidden_size: self.hidden_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            kv_heads: self.num_key_value_heads.unwrap_or(self.num_attention_heads),
            head_dim,
            intermediate_size: self.intermediate_size,
            vocab_size: self.vocab_size,
            context_length: self.max_position_embeddings.max(stretched),
            norm_eps: self.rms_norm_eps.unwrap_or(family.default_eps()),
            qkv_bias: family.qkv_bias(self.attention_bias),
            output_norms: family.output_norms(),
            tied_embeddings: tied.or(self.tie_word_embeddings).unwrap_or(false),
            rotary,
            moe: (family == TextFamily::Glm4vMoe).then(|| self.moe.clone()),
            swiglu_limit: None,
            hybrid: None,
        };
        config.validate()?;
        Ok(config)
    }

    fn rotary(&self, family: TextFamily, head_dim: usize) -> Result<RotaryConfig, LanguageError> {
        let newer = self.rope_parameters.clone().unwrap_or_default();
        let older = self.rope_scaling.clone().unwrap_or_default();
        let variant = [&newer.rope_type, &newer.older_rope_type, &older.rope_type]
            .into_iter()
            .chain([&older.older_rope_type])
            .find_map(|variant| variant.as_deref())
            .unwrap_or("default");
        let scaling = if self.rope_parameters.is_some() { &newer } else { &older };
        let yarn = match variant {
            "default" | "mrope" => None,
            "yarn" => Some(scaling.yarn(self.max_position_embeddings)),
            _ => {
                let reason = format!(
                    "{variant:?} is not supported, only \"default\" and \"yarn\"; remove it to run without scaling"
                );
                return Err(LanguageError::config("rope_type", reason));
            }
        };
        // Within the older style's map, as transformers 5 reads it, they count before those outside.
        let share = newer.partial_rotary_factor.or(older.partial_rotary_factor);
        let share = share.or(self.partial_rotary_factor);
        let share = share.unwrap_or(family.default_partial_rotary_factor());
        Ok(RotaryConfig {
            base: newer.rope_theta.or(older.rope_theta).or(self.rope_theta).unwrap_or(10000.0),
            rotated: (head_dim as f64 * share) as usize,
            layout: family.rotary_layout(),
            sections: newer.mrope_section.clone().or(older.mrope_section.clone()),
            yarn,
        })
    }
}
