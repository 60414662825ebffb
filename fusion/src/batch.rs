//! Several answers made together, a token of each in one pass over the weights.

use crate::generation::Generation;
use crate::session::step_together;
use crate::{Answer, FusionError, Model};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
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
    let mut failure = Ok(());
    loop {
        while running.len() < MOST_AT_ONCE {
            let Some((number, question)) = waiting.next() else { break };
            running.push((number, start(question)?));
        }
        if running.is_empty() {
            break;
        }
        pass(model, &mut running, |number, result| match result {
            Ok(answer) => answers.push((number, answer)),
            Err(error) if failure.is_ok() => failure = Err(error),
            Err(_) => {}
        });
        std::mem::replace(&mut failure, Ok(()))?;
    }
    answers.sort_by_key(|(number, _)| *number);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

/// Chooses a token of each answer, takes those out that are at their ends, and runs the others'
/// tokens in one pass. What is taken out goes to `end` with its tag.
fn pass<Tag>(
    model: &Model,
    running: &mut Vec<(Tag, Generation)>,
    mut end: impl FnMut(Tag, Result<Answer, FusionError>),
) {
    let mut tokens = Vec::with_capacity(running.len());
    for (tag, mut generation) in std::mem::take(running) {
        match generation.choose() {
            Ok(Some(token)) => {
                tokens.push(token);
                running.push((tag, generation));
            }
            Ok(None) => end(tag, Ok(generation.into_answer().0)),
            Err(error) => end(tag, Err(error)),
        }
    }
    if running.is_empty() {
        return;
    }
    let started = Instant::now();
    let sessions = running.iter_mut().map(|(_, generation)| generation.session());
    let mut steps: Vec<_> = sessions.zip(tokens).collect();
    match step_together(model, &mut steps) {
        Ok(logits) => {
            for ((_, generation), logits) in running.iter_mut().zip(logits) {
                generation.take_logits(logits, started.elapsed());
            }
        }
        Err(error) => {
            let reason = error.to_string();
            for (tag, _) in running.drain(..) {
                end(tag, Err(FusionError::Together { reason: reason.clone() }));
            }
        }
    }
}

/// Makes the answers that several threads wait for, a token of each in one pass over the weights,
/// on a thread of its own that ends when this is dropped.
///
/// A thread reads its image, starts its answer with [`Model::generate`] and waits here for the
/// rest, so that images are read while other answers are made. An answer is the same as alone.
#[derive(Debug)]
pub struct DecodeTogether {
    /// There until this is dropped.
    sender: Option<Sender<Waiting>>,
    thread: Option<JoinHandle<()>>,
}

/// An answer to be made, and who waits for it.
type Waiting = (Sender<Result<Answer, FusionError>>, Generation);

impl DecodeTogether {
    /// Begins the thread, which decodes with `model`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(model: &Model) -> std::io::Result<Self> {
        let (sender, receiver) = channel();
        let model = model.clone();
        let thread = std::thread::Builder::new()
            .name("decode".to_owned())
            .spawn(move || decode_together(&model, &receiver))?;
        Ok(Self { sender: Some(sender), thread: Some(thread) })
    }

    /// Makes the rest of an answer, together with those of other threads. Drafts are not used.
    ///
    /// # Errors
    /// As [`Generation::finish`]; [`FusionError::Together`] when the joint pass failed.
    pub fn finish(&self, generation: Generation) -> Result<Answer, FusionError> {
        let ended = || FusionError::Together { reason: "their thread has ended".to_owned() };
        let (sender, receiver) = channel();
        let waiting = self.sender.as_ref().ok_or_else(ended)?;
        waiting.send((sender, generation)).map_err(|_| ended())?;
        receiver.recv().map_err(|_| ended())?
    }
}

impl Drop for DecodeTogether {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been told to those who waited.
            thread.join().unwrap_or_default();
        }
    }
}

/// Decodes what comes, until nobody can send any more.
fn decode_together(model: &Model, waiting: &Receiver<Waiting>) {
    let mut running: Vec<Waiting> = Vec::new();
    loop {
        if running.is_empty() {
            match waiting.recv() {
                Ok(first) => running.push(first),
                Err(_) => return,
            }
        }
        running.extend(waiting.try_iter().take(MOST_AT_ONCE - running.len()));
        // One who no longer waits for the answer needs none.
        pass(model, &mut running, |sender, result| drop(sender.send(result)));
    }
}
