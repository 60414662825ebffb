//! A GGUF header, read from the front.

use super::GgufValue;

/// Arrays of arrays deeper than this are taken for an attack on the stack.
const DEEPEST: usize = 4;

/// The most bytes of memory that what a header says may take. Large vocabularies take some 30 MB; a
/// file with holes could say anything at no cost.
const MOST_MEMORY: usize = 512 << 20;

/// The rest of a header. Errors are reasons, to be completed with the file's name.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    read: usize,
    /// Bytes of memory that are left for what is read.
    memory: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, read: 0, memory: MOST_MEMORY }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> usize {
        self.read
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            let (read, left) = (self.read, self.rest.len());
            return Err(format!("cut short: {count} bytes expected at byte {read}, {left} found"));
        };
        self.rest = rest;
        self.read += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| "cut short".to_owned())
    }

    pub(super) fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    /// Takes memory for something that has been announced.
    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), String> {
        let left = self.memory.checked_sub(bytes);
        self.memory = left.ok_or_else(|| {
            format!("damaged: the header would take more than {} MiB of memory", MOST_MEMORY >> 20)
        })?;
        Ok(())
    }

    /// A count of things that take at least `each` bytes apiece, which the file must have left.
    pub(super) fn count(&mut self, what: &str, each: usize) -> Result<usize, String> {
        let count = self.u64()?;
        let most = self.rest.len() / each.max(1);
        match usize::try_from(count) {
            Ok(count) if count <= most => Ok(count),
            _ => Err(format!("cut short or damaged: {count} {what}, with room for {most}")),
        }
    }

    pub(super) fn text(&mut self) -> Result<String, String> {
        let length = self.count("bytes of text", 1)?;
        self.spend(length)?;
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| "a text is not UTF-8".to_owned())?;
        Ok(text.to_owned())
    }

    /// A value with its type before it.
    pub(super) fn value(&mut self) -> Result<GgufValue, String> {
        let kind = self.u32()?;
        self.value_of(kind, 0)
    }

    fn value_of(&mut self, kind: u32, depth: usize) -> Result<GgufValue, String> {
        Ok(match kind {
            0 => GgufValue::U32(u8::from_le_bytes(self.array()?).into()),
            1 => GgufValue::I32(i8::from_le_bytes(self.array()?).into()),
            2 => GgufValue::U32(u16::from_le_bytes(self.array()?).into()),
            3 => GgufValue::I32(i16::from_le_bytes(self.array()?).into()),
            4 => GgufValue::U32(self.u32()?),
            5 => GgufValue::I32(i32::from_le_bytes(self.array()?)),
            6 => GgufValue::F32(f32::from_le_bytes(self.array()?)),
            7 => GgufValue::Bool(u8::from_le_bytes(self.array()?) != 0),
            8 => GgufValue::Text(self.text()?),
            9 => GgufValue::Array(self.values(depth + 1)?),
            10 => GgufValue::U64(self.u64()?),
            11 => GgufValue::I64(i64::from_le_bytes(self.array()?)),
            12 => GgufValue::F64(f64::from_le_bytes(self.array()?)),
            _ => return Err(format!("a value has the unknown type {kind}")),
        })
    }

    fn values(&mut self, depth: usize) -> Result<Vec<GgufValue>, String> {
        if depth > DEEPEST {
            return Err(format!("arrays lie deeper than {DEEPEST} in one another"));
        }
        let kind = self.u32()?;
        let each = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            9 => 12,
            _ => 8,
        };
        let count = self.count("array items", each)?;
        self.spend(count.saturating_mul(size_of::<GgufValue>()))?;
        (0..count).map(|_| self.value_of(kind, depth)).collect()
    }
}
