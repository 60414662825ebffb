//! Metrics that equal the reference scorers, tasks, runs and reports.
