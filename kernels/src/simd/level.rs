//! Which registers a processor has.

#[cfg(target_arch = "aarch64")]
use std::arch::is_aarch64_feature_detected;
use std::sync::OnceLock;

/// The kinds of registers, narrowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Arrays, which the compiler lays in whatever every processor of the architecture has.
    Plain,
    /// 256 bits.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512 bits.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 512 bits, with dot products of bf16 and of bytes.
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
    /// 128 bits.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// 128 bits, with dot products of bf16.
    #[cfg(target_arch = "aarch64")]
    NeonBf16,
}

impl Level {
    /// Whether this processor has it.
    pub(super) fn is_here(self) -> bool {
        match self {
            Self::Plain => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("f16c")
                    && is_x86_feature_detected!("fma")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => {
                Self::Avx512.is_here()
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512bf16")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(target_arch = "aarch64")]
            Self::Neon => cfg!(not(miri)), // all have it
            #[cfg(target_arch = "aarch64")]
            Self::NeonBf16 => Self::Neon.is_here() && is_aarch64_feature_detected!("bf16"),
        }
    }

    /// All that this processor has, narrowest first.
    pub(crate) fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        const ALL: &[Level] = &[Level::Plain, Level::Avx2, Level::Avx512, Level::Avx512Bf16];
        #[cfg(target_arch = "aarch64")]
        const ALL: &[Level] = &[Level::Plain, Level::Neon, Level::NeonBf16];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        const ALL: &[Level] = &[Level::Plain];
        ALL.iter().copied().filter(|level| level.is_here())
    }

    /// Whether there is an instruction for [`super::Lanes::dot_pairs`].
    pub(crate) fn multiplies_pairs(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return self == Self::Avx512Bf16;
        #[cfg(target_arch = "aarch64")]
        return self == Self::NeonBf16;
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        return false;
    }

    /// Whether there is an instruction for [`super::Lanes::dot_bytes`], and one for pairs.
    pub(crate) fn multiplies_bytes(self) -> bool {
        cfg!(target_arch = "x86_64") && self.multiplies_pairs()
    }

    /// The widest that this processor has.
    pub(crate) fn widest() -> Self {
        static WIDEST: OnceLock<Level> = OnceLock::new();
        *WIDEST.get_or_init(|| Self::available().last().unwrap_or(Self::Plain))
    }

    /// Whether an instruction for [`super::Lanes::dot_pairs`] is faster than two for as many values of
    /// f32.
    pub(crate) fn is_fast_with_pairs(self) -> bool {
        self.multiplies_pairs() && !has_slow_pairs()
    }
}

/// Whether this processor's dot products of bf16 take longer than as many products of f32: on Intel's
/// an instruction with 32 of them takes two cycles, where two with 16 products of f32 take one.
///
/// Source: `glm4v bench` on an Intel Xeon of family 6, model 207: f32 0.34 TFLOP/s, bf16 0.17.
pub(crate) fn has_slow_pairs() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        static SLOW: OnceLock<bool> = OnceLock::new(); // a virtual machine takes long to answer
        *SLOW.get_or_init(|| {
            let vendor = std::arch::x86_64::__cpuid(0);
            [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).as_flattened()
                == b"GenuineIntel"
        })
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}
