//! A conversation that keeps its key-value cache between turns.

use crate::ask::user_message;
use crate::session::Session;
use crate::{Answer, Chunk, FusionError, GenerateOptions, Model, VisualTokens};
use glm4v_language::{Message, Role, without_thoughts};
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
        messages.push(Message::text(Role::Assistant, without_thoughts(&answer.text)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{folder, model};
    use crate::session::row_sources;

    /// The next turn's prompt begins with what is in the cache: the prompt before it and, where the
    /// template writes replies down as they came, the reply.
    #[test]
    fn the_next_turn_finds_its_beginning_in_the_cache() {
        for name in ["glm4v", "glm4v_9b"] {
            let model = model(name);
            let picture = Image::open(folder("glm4v").join("one_image_0.png")).unwrap();
            let mut chat = model.chat(None);
            let options = GenerateOptions {
                temperature: Some(0.0),
                max_tokens: Some(4),
                ..GenerateOptions::default()
            };
            let answer = chat.send(&[picture], "What is it?", &options, |_| ()).unwrap();
            let mut messages = chat.messages().to_vec();
            messages.push(user_message(&[], "Why?"));
            let (_, next) = model.prompt(&messages, &chat.images, None).unwrap();
            let common = chat.session.rows_in_common(&row_sources(&next));
            assert!(common >= answer.usage.prompt, "{common} of {:?}", answer.usage);
        }
    }
}
