//! A record of what each stage computed, for holding stages against a reference.

use candle_core::Tensor;

/// Keeps the outputs of named stages when it is on; costs nothing when it is off.
#[derive(Debug, Default)]
pub struct Trace {
    stages: Option<Vec<(String, Tensor)>>,
}

impl Trace {
    /// A trace that keeps nothing.
    pub fn off() -> Self {
        Self { stages: None }
    }

    /// A trace that keeps every stage it is told of.
    pub fn on() -> Self {
        Self { stages: Some(Vec::new()) }
    }

    /// Keeps `value` under `stage`, unless the trace is off.
    pub fn record(&mut self, stage: impl std::fmt::Display, value: &Tensor) {
        if let Some(stages) = &mut self.stages {
            stages.push((stage.to_string(), value.clone()));
        }
    }

    /// Everything that was kept, in the order in which it was recorded.
    pub fn stages(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.stages.iter().flatten().map(|(name, value)| (name.as_str(), value))
    }

    /// What was kept under `stage`, if anything.
    pub fn get(&self, stage: &str) -> Option<&Tensor> {
        self.stages.as_ref()?.iter().find(|(name, _)| name == stage).map(|(_, value)| value)
    }
}
