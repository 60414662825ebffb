//! Several answers made together, a token of each in one pass over the weights.

use crate::generation::Generation;
use crate::session::step_together;
use crate::{Answer, FusionError, Model};
use std::time::Instant;

/// Answers that are made at once; each has its own keys and values in memory.
const MOST_AT_ONCE: usize = 16;

/// Starts a generation for each question and runs all to their ends. One that is finished leaves,
/// and the next one joins. Answers come in the questions' order.
pub(crate) fn answer_together<Question>(
    model: &Model,
    questions: impl IntoIterator<Item = Question>,
    mut start: impl FnMut(Question) -> Result<Generation, FusionError>,
) -> Result<Vec<Answer>, FusionError> {
    let mut waiting = questions.into_iter().enumerate();
    let mut running: Vec<(usize, Generation)> = Vec::new();
    let mut answers: Vec<(usize, Answer)> = Vec::new();
    loop {
        while running.len() < MOST_AT_ONCE {
            let Some((number, question)) = waiting.next() else { break };
            running.push((number, start(question)?));
        }
        if running.is_empty() {
            break;
        }
        let mut tokens = Vec::with_capacity(running.len());
        let mut going = Vec::with_capacity(running.len());
        for (number, mut generation) in running {
            match generation.choose()? {
                Some(token) => {
                    tokens.push(token);
                    going.push((number, generation));
                }
                None => answers.push((number, generation.into_answer().0)),
            }
        }
        running = going;
        if running.is_empty() {
            continue;
        }
        let started = Instant::now();
        let sessions = running.iter_mut().map(|(_, generation)| generation.session());
        let mut steps: Vec<_> = sessions.zip(tokens).collect();
        let logits = step_together(model, &mut steps)?;
        for ((_, generation), logits) in running.iter_mut().zip(logits) {
            generation.take_logits(logits, started.elapsed());
        }
    }
    answers.sort_by_key(|(number, _)| *number);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}
