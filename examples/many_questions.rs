//! One page and many questions: the visual tokens are made once.
//!
//! ```text
//! printf 'What is the title?\nWhat is the total?\n' \
//!     | cargo run --release --example many_questions -- PAGE [MODEL]
//! ```
//!
//! Each line of standard input is a question on its own. When all questions are known beforehand,
//! `Model::ask_many` runs the part of the prompt that they share once, too.

use anyhow::Context;
use glm4v::{GenerateOptions, Image, LoadOptions, Model, NANO, Reply};
use std::time::Instant;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let page = arguments.next().context("usage: many_questions PAGE [MODEL] < questions")?;
    let name = arguments.next().and_then(|name| name.into_string().ok());
    let model = Model::load(name.as_deref().unwrap_or(NANO), &LoadOptions::default())?;

    let started = Instant::now();
    let tokens = [model.embed(&Image::open(page)?)?];
    eprintln!("{} visual tokens in {:.3} s", tokens[0].len(), started.elapsed().as_secs_f64());

    let options = GenerateOptions { temperature: Some(0.0), ..GenerateOptions::default() };
    for question in std::io::stdin().lines() {
        let started = Instant::now();
        let mut raw = String::new();
        for chunk in model.stream_visual(&tokens, &question?, &options)? {
            raw += &chunk?.text;
        }
        println!("{}", Reply::parse(&raw).text); // without what the model thought first
        eprintln!("answered in {:.3} s", started.elapsed().as_secs_f64());
    }
    Ok(())
}
