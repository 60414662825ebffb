//! The numbers of GLM-5.3-Flash's decoder.

use crate::LanguageError;
use crate::decoder::config::check_sizes;

/// What a decoder has whose layers mix rows in two ways, in several streams.
#[derive(Clone, Debug, PartialEq)]
pub struct HybridConfig {
    /// The layers, from the bottom.
    pub layers: Vec<HybridLayerConfig>,
    /// Linear attention.
    pub linear: LinearAttentionConfig,
    /// Latent attention.
    pub latent: LatentAttentionConfig,
    /// What chooses the keys of latent attention.
    pub indexer: IndexerConfig,
    /// The residual streams.
    pub streams: StreamsConfig,
}

/// What a layer is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HybridLayerConfig {
    /// How its rows see one another.
    pub mixing: Mixing,
    /// Whether a mixture of experts stands in the MLP's place.
    pub experts: bool,
}

/// How the rows of a layer see one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mixing {
    /// KDA, over a recurrent state.
    Linear,
    /// Latent attention over the keys that its own indexer chooses.
    Indexed,
    /// Latent attention over the keys that the layer before has chosen.
    Shared,
}

/// KDA: linear attention by the delta rule, after a short convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearAttentionConfig {
    /// Heads.
    pub heads: usize,
    /// Width of a head's queries, keys and values.
    pub head_dim: usize,
    /// Rows that the convolution sees: its own and those before.
    pub kernel: usize,
    /// The least logarithm of the decay; none where softplus makes it.
    pub lower_bound: Option<f64>,
}

/// Latent attention: keys and values are made from one narrow row for all heads.
#[derive(Clone, Debug, PartialEq)]
pub struct LatentAttentionConfig {
    /// Heads.
    pub heads: usize,
    /// Width of the row that queries are made from.
    pub q_rank: usize,
    /// Width of the row that keys and values are made from.
    pub kv_rank: usize,
    /// Width of a head's queries and keys.
    pub qk_dim: usize,
    /// Width of a head's values.
    pub v_dim: usize,
    /// Whether the projections from and to the hidden width have biases.
    pub bias: bool,
}

/// The indexer: keys are chosen in pools of neighbours.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexerConfig {
    /// Heads that score.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Keys that are chosen for a row, beside the newest ones that fill no pool yet.
    pub top_k: usize,
    /// Keys in a pool.
    pub pool: usize,
}

/// Hyper-connections: the residual runs in several streams, mixed anew at each block.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamsConfig {
    /// Streams.
    pub count: usize,
    /// What is added before a division.
    pub eps: f64,
    /// Times that rows and columns of the mixing matrix are normed.
    pub iterations: usize,
}

/// Sizes above this are taken for a damaged file; products of two must not overflow.
const LARGEST_SIZE: usize = 1 << 20;
/// The same for numbers that are squared or looped over for each row.
const LARGEST_SMALL: usize = 1 << 10;

impl HybridConfig {
    /// Checks that the numbers fit one another, and `layers` layers.
    ///
    /// # Errors
    /// [`LanguageError::Config`], naming the field, when one doesn't.
    pub(in crate::decoder) fn validate(&self, layers: usize) -> Result<(), LanguageError> {
        let wrong = |field: &str, reason: String| Err(LanguageError::config(field, reason));
        let (latent, indexer) = (&self.latent, &self.indexer);
        let sizes = [
            ("linear_num_heads", self.linear.heads),
            ("linear_head_dim", self.linear.head_dim),
            ("num_attention_heads", latent.heads),
            ("q_lora_rank", latent.q_rank),
            ("kv_lora_rank", latent.kv_rank),
            ("qk_nope_head_dim", latent.qk_dim),
            ("v_head_dim", latent.v_dim),
            ("index_n_heads", indexer.heads),
            ("index_head_dim", indexer.head_dim),
            ("index_topk", indexer.top_k),
            ("index_kpool", indexer.pool),
        ];
        check_sizes(&sizes, LARGEST_SIZE)?;
        let small = [
            ("linear_conv_kernel_dim", self.linear.kernel),
            ("hc_mult", self.streams.count),
            ("hc_sinkhorn_iters", self.streams.iterations),
        ];
        check_sizes(&small, LARGEST_SMALL)?;
        if !indexer.top_k.is_multiple_of(indexer.pool) {
            let reason =
                format!("{} is no multiple of index_kpool, {}", indexer.top_k, indexer.pool);
            return wrong("index_topk", reason);
        }
        if !(self.streams.eps >= 0.0 && self.streams.eps < 1.0) {
            return wrong("hc_eps", format!("{} is outside 0 to 1", self.streams.eps));
        }
        if self.linear.lower_bound.is_some_and(|bound| bound.is_nan() || bound >= 0.0) {
            return wrong("linear_lower_bound", "it must be below 0".into());
        }
        if self.layers.len() != layers {
            let reason = format!("{} layers, num_hidden_layers has {layers}", self.layers.len());
            return wrong("layer_types", reason);
        }
        self.check_shared()
    }

    /// The reference hands a choice of keys to the next layer alone.
    fn check_shared(&self) -> Result<(), LanguageError> {
        let mixing: Vec<Mixing> = self.layers.iter().map(|layer| layer.mixing).collect();
        let before = [Mixing::Linear].iter().chain(&mixing);
        match before
            .zip(&mixing)
            .position(|pair| matches!(pair, (Mixing::Linear | Mixing::Shared, Mixing::Shared)))
        {
            None => Ok(()),
            Some(layer) => {
                let reason = format!("layer {layer} shares keys, and the one before chooses none");
                Err(LanguageError::config("indexer_types", reason))
            }
        }
    }

    /// Numbers that a row of a sequence adds to its cache.
    pub fn cached_numbers(&self) -> u64 {
        let pooled = self.indexer.head_dim.div_ceil(self.indexer.pool.max(1));
        let numbers = |layer: &HybridLayerConfig| match layer.mixing {
            Mixing::Linear => 0,
            Mixing::Indexed => self.latent.kv_rank as u64 + pooled as u64,
            Mixing::Shared => self.latent.kv_rank as u64,
        };
        self.layers.iter().map(numbers).sum()
    }
}
