//! A conversation that keeps its key-value cache between turns.

use crate::ask::user_message;
use crate::session::Session;
use crate::{Answer, Chunk, FusionError, GenerateOptions, Model, VisualTokens};
use glm4v_language::{Message, Role};
use glm4v_vision::Image;
use std::time::Instant;

/// A conversation. Each turn runs only what the turns before have not.
#[derive(Debug)]
pub struct Chat {
    model: Model,
    messages: Vec<Message>,
    images: Vec<VisualTokens>,
    session: Session,
}

impl Model {
    /// A new conversation, with a system message or none.
    pub fn chat(&self, system: Option<&str>) -> Chat {
        Chat {
            model: self.clone(),
            messages: system.map(|text| Message::text(Role::System, text)).into_iter().collect(),
            images: Vec::new(),
            session: Session::new(self.decoder()),
        }
    }
}

impl Chat {
    /// Sends a turn with the images that it brings, calls `on_chunk` for each token as it comes,
    /// and returns the whole reply. After an error the conversation is as it was before the turn.
    ///
    /// # Errors
    /// As [`Model::ask`].
    pub fn send(
        &mut self,
        images: &[Image],
        text: &str,
        options: &GenerateOptions,
        mut on_chunk: impl FnMut(&Chunk),
    ) -> Result<Answer, FusionError> {
        let started = Instant::now();
        let new: Vec<_> =
            images.iter().map(|image| self.model.embed(image)).collect::<Result<_, _>>()?;
        let vision_time = started.elapsed();
        let mut messages = self.messages.clone();
        messages.push(user_message(&new, text));
        let all_images = [self.images.as_slice(), &new].concat();
        let session = std::mem::replace(&mut self.session, Session::new(self.model.decoder()));
        let mut generation = self.model.generate_on(session, &messages, &all_images, options)?;
        generation.add_vision_time(vision_time);
        for chunk in generation.by_ref() {
            on_chunk(&chunk?);
        }
        let (answer, session) = generation.into_answer();
        messages.push(Message::text(Role::Assistant, answer.text.clone()));
        (self.messages, self.images, self.session) = (messages, all_images, session);
        Ok(answer)
    }

    /// The turns so far.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Rows that the key-value cache holds.
    pub fn cached_tokens(&self) -> usize {
        self.session.len()
    }
}
