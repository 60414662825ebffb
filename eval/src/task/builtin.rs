//! The tasks in the program.

macro_rules! tasks {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../tasks/", $name, ".toml")))),*]
    };
}

/// Names and declarations.
pub(super) const FILES: [(&str, &str); 16] = tasks![
    "chartqa",
    "chartqapro",
    "chart-to-table",
    "docvqa",
    "infovqa",
    "textvqa",
    "ocrbench",
    "ai2d",
    "seedbench2plus",
    "opencqa",
    "sroie",
    "sroie-text",
    "cord",
    "funsd",
    "words",
    "mmlu",
];
