//! Questions in the order of the dataset, made when someone is free to answer them.

use super::Response;
use crate::EvalError;
use crate::answerer::{AnswerOptions, AnswererCard, Reply};
use crate::task::PromptTemplate;
use glm4v_datasets::{Sample, Samples};
use std::collections::HashMap;
use std::iter::{Enumerate, Peekable};

/// A question that is ready to be asked.
pub(super) struct Job {
    /// The response, its reply still empty.
    pub(super) response: Response,
    /// The encoded images.
    pub(super) images: Vec<Vec<u8>>,
}

/// What there is to do next.
pub(super) enum Next {
    /// A question to ask.
    Ask(Box<Job>),
    /// A question that has been answered in another sample.
    Known(Box<Response>),
    /// A sample that can't be asked.
    Unreadable(Box<Response>, String),
    /// Nothing.
    End,
}

/// Reads samples, one at a time, and tells which are still to be asked.
pub(super) struct Feed<'a> {
    pub(super) samples: Enumerate<Samples>,
    pub(super) wanted: Peekable<std::vec::IntoIter<usize>>,
    pub(super) template: &'a PromptTemplate,
    pub(super) card: &'a AnswererCard,
    pub(super) options: &'a AnswerOptions,
    /// Keys of the samples that have an answer.
    pub(super) done: HashMap<String, String>,
    /// Answers by key.
    pub(super) replies: HashMap<String, Reply>,
    /// Samples that wait for the answer to another with the same key.
    pub(super) waiting: HashMap<String, Vec<Response>>,
}

impl Feed<'_> {
    /// The next thing to do.
    pub(super) fn next(&mut self) -> Result<Next, EvalError> {
        loop {
            let Some(wanted) = self.wanted.peek().copied() else { return Ok(Next::End) };
            let Some((index, sample)) = self.samples.next() else { return Ok(Next::End) };
            if index != wanted {
                continue;
            }
            self.wanted.next();
            match self.prepare(index, sample)? {
                Some(next) => return Ok(next),
                None => continue,
            }
        }
    }

    fn prepare(
        &mut self,
        index: usize,
        sample: Result<Sample, glm4v_datasets::DatasetError>,
    ) -> Result<Option<Next>, EvalError> {
        let sample = match sample {
            Ok(sample) => sample,
            // Its text was read before, so it is the image.
            Err(error) if error.is_one_row() => {
                let response = empty_response(index, format!("row-{index}"));
                return Ok(Some(Next::Unreadable(Box::new(response), error.to_string())));
            }
            Err(error) => return Err(error.into()),
        };
        let mut response = empty_response(index, sample.id.clone());
        response.prompt = self.template.render(&sample)?;
        let mut images = Vec::with_capacity(sample.images.len());
        for image in &sample.images {
            match image.read() {
                Ok(bytes) => images.push(bytes.into_owned()),
                Err(error) => {
                    fill(&mut response, sample);
                    return Ok(Some(Next::Unreadable(Box::new(response), error.to_string())));
                }
            }
        }
        fill(&mut response, sample);
        response.images = images.iter().map(|image| crate::digest::of([image])).collect();
        response.key = self.key(&response);
        if let Some(key) = self.done.get(&response.id) {
            return match *key == response.key {
                true => Ok(None),
                false => Err(EvalError::Unusable {
                    reason: format!(
                        "the question or image of {} has changed since it was asked; choose another --output",
                        response.id
                    ),
                }),
            };
        }
        if let Some(reply) = self.replies.get(&response.key) {
            response.reply = reply.clone();
            response.reused = true;
            return Ok(Some(Next::Known(Box::new(response))));
        }
        if let Some(waiting) = self.waiting.get_mut(&response.key) {
            waiting.push(response);
            return Ok(None);
        }
        self.waiting.insert(response.key.clone(), Vec::new());
        Ok(Some(Next::Ask(Box::new(Job { response, images }))))
    }

    /// Digest of all that an answer depends on.
    fn key(&self, response: &Response) -> String {
        let options = serde_json::to_string(self.options).unwrap_or_default();
        let parts = [&self.card.digest, &options, &response.prompt];
        crate::digest::of(parts.into_iter().chain(&response.images))
    }
}

fn empty_response(index: usize, id: String) -> Response {
    Response {
        index,
        id,
        key: String::new(),
        question: String::new(),
        options: Vec::new(),
        references: Vec::new(),
        metadata: serde_json::Map::new(),
        images: Vec::new(),
        prompt: String::new(),
        reply: Reply::default(),
        milliseconds: 0,
        reused: false,
    }
}

fn fill(response: &mut Response, sample: Sample) {
    response.question = sample.question;
    response.options = sample.options;
    response.references = sample.references;
    response.metadata = sample.metadata;
}
