//! The list of stages of a case as it grows, and which of the reference's tensors were held.

use super::case::Case;
use super::compare::{self, StageReport};
use crate::FusionError;
use candle_core::Tensor;
use std::collections::BTreeSet;

/// Tensors that were given to the reference and say nothing that the stages don't hold.
const INPUTS: [&str; 2] = ["attention_mask", "mm_token_type_ids"];

/// The reports on one case.
pub(super) struct Stages<'a> {
    case: &'a Case,
    reports: Vec<StageReport>,
    held: BTreeSet<&'a str>,
}

impl<'a> Stages<'a> {
    pub(super) fn new(case: &'a Case) -> Self {
        Self { case, reports: Vec::new(), held: BTreeSet::new() }
    }

    /// Adds a report; an error becomes a stage that failed.
    pub(super) fn push(&mut self, stage: &str, report: Result<StageReport, FusionError>) {
        let failed = |error: FusionError| compare::failed(stage, error.to_string());
        self.reports.push(report.unwrap_or_else(failed));
    }

    /// Holds something against the reference's tensor `name`, if the case has it.
    pub(super) fn hold(
        &mut self,
        name: &str,
        compare: impl FnOnce(&Tensor) -> Result<StageReport, FusionError>,
    ) {
        if let Some((name, reference)) = self.case.tensor(name) {
            self.held.insert(name);
            self.push(name, compare(reference));
        }
    }

    /// Runs a part of the way. When it can't be gone, that is a failed stage, and so is each
    /// reference that it should have been held against.
    pub(super) fn attempt<T>(
        &mut self,
        part: &str,
        run: impl FnOnce(&mut Self) -> Result<T, FusionError>,
    ) -> Option<T> {
        let result = run(self);
        result.map_err(|error| self.push(part, Err(error))).ok()
    }

    /// The reports, with a failed one for each of the reference's tensors that was held against
    /// nothing: nothing is passed over in silence.
    pub(super) fn finish(mut self) -> Vec<StageReport> {
        for name in self.case.names() {
            if !self.held.contains(name) && !INPUTS.contains(&name) {
                let reason = "no stage of this model was held against this tensor";
                self.reports.push(compare::failed(name, reason.into()));
            }
        }
        self.reports
    }
}
