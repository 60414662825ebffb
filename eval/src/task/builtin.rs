//! The tasks in the program.

macro_rules! tasks {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../tasks/", $name, ".toml")))),*]
    };
}

/// Names and declarations.
pub(super) const FILES: [(&str, &str); 23] = tasks![
    "chartqa",
    "chartqapro",
    "chart-to-table",
    "docvqa",
    "infovqa",
    "textvqa",
    "stvqa",
    "ocrbench",
    "ocrbench_v2",
    "omnidocbench",
    "ai2d",
    "seedbench2plus",
    "charxiv",
    "mmmu",
    "opencqa",
    "sroie",
    "sroie-text",
    "cord",
    "funsd",
    "words",
    "mmlu",
    "gsm8k",
    "own",
];
