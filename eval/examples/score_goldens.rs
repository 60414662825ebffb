//! Compares our scores with the reference scorers', file by file: `score_goldens FILE…`.

use glm4v_eval::score_goldens;
use std::fs::File;
use std::io::BufReader;
use std::process::ExitCode;

/// Mismatches printed a file; the count is always whole.
const SHOWN: usize = 8;

fn main() -> ExitCode {
    let mut all_equal = true;
    for path in std::env::args().skip(1) {
        match compare(&path) {
            Ok(equal) => all_equal &= equal,
            Err(error) => {
                eprintln!("{path}: {error}");
                all_equal = false;
            }
        }
    }
    if all_equal { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn compare(path: &str) -> Result<bool, Box<dyn std::error::Error>> {
    let report = score_goldens(BufReader::new(File::open(path)?))?;
    println!("{path}: {} rows, {} mismatches", report.count, report.mismatches.len());
    for mismatch in report.mismatches.iter().take(SHOWN) {
        let (line, metric) = (mismatch.line, &mismatch.metric);
        println!("  line {line} {metric}: {} instead of {}", mismatch.found, mismatch.expected);
    }
    Ok(report.mismatches.is_empty())
}
