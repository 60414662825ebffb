//! Values of a GGUF file's metadata.

/// A value. Small integers are widened to 32 bits when they are read.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum GgufValue {
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    Text(String),
    /// All of one type.
    Array(Vec<GgufValue>),
}

impl GgufValue {
    /// A whole number that is not negative.
    pub fn as_usize(&self) -> Option<usize> {
        match *self {
            Self::U32(value) => usize::try_from(value).ok(),
            Self::I32(value) => usize::try_from(value).ok(),
            Self::U64(value) => usize::try_from(value).ok(),
            Self::I64(value) => usize::try_from(value).ok(),
            _ => None,
        }
    }

    /// Any number.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::F32(value) => Some(value.into()),
            Self::F64(value) => Some(value),
            _ => self.as_usize().map(|value| value as f64),
        }
    }

    /// Yes or no.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    /// A text.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(value) = self { Some(value) } else { None }
    }

    /// A list.
    pub fn as_array(&self) -> Option<&[GgufValue]> {
        if let Self::Array(values) = self { Some(values) } else { None }
    }
}

impl From<&str> for GgufValue {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<bool> for GgufValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u32> for GgufValue {
    fn from(value: u32) -> Self {
        Self::U32(value)
    }
}

impl From<f32> for GgufValue {
    fn from(value: f32) -> Self {
        Self::F32(value)
    }
}
