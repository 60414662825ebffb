//! A conversation that keeps its key-value cache between turns.

use crate::ask::user_message;
use crate::session::Session;
use crate::{Answer, Chunk, FusionError, GenerateOptions, Model, VisualTokens};
use glm4v_language::{Message, Role, ToolCallSplitter, ToolFormat, without_thoughts};
use glm4v_vision::Image;
use std::time::{Duration, Instant};

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
    /// When the reply calls tools, [`Self::observe`] goes on with the turn.
    ///
    /// # Errors
    /// As [`Model::ask`].
    pub fn send(
        &mut self,
        images: &[Image],
        text: &str,
        options: &GenerateOptions,
        on_chunk: impl FnMut(&Chunk),
    ) -> Result<Answer, FusionError> {
        let started = Instant::now();
        let new: Vec<_> =
            images.iter().map(|image| self.model.embed(image)).collect::<Result<_, _>>()?;
        let vision_time = started.elapsed();
        self.turn(&[user_message(&new, text)], &new, vision_time, options, on_chunk)
    }

    /// Gives what the tools that the last reply called said, in the order of the calls, and
    /// returns the model's next reply in the same turn.
    ///
    /// # Errors
    /// As [`Model::ask`].
    pub fn observe(
        &mut self,
        results: &[String],
        options: &GenerateOptions,
        on_chunk: impl FnMut(&Chunk),
    ) -> Result<Answer, FusionError> {
        let message = |result: &String| Message::text(Role::Observation, result.clone());
        let messages: Vec<_> = results.iter().map(message).collect();
        self.turn(&messages, &[], Duration::ZERO, options, on_chunk)
    }

    fn turn(
        &mut self,
        new_messages: &[Message],
        new_images: &[VisualTokens],
        vision_time: Duration,
        options: &GenerateOptions,
        mut on_chunk: impl FnMut(&Chunk),
    ) -> Result<Answer, FusionError> {
        let mut messages = [self.messages.as_slice(), new_messages].concat();
        let images = [self.images.as_slice(), new_images].concat();
        let session = std::mem::replace(&mut self.session, Session::new(self.model.decoder()));
        let mut generation = self.model.generate_on(session, &messages, &images, options)?;
        generation.add_vision_time(vision_time);
        for chunk in generation.by_ref() {
            on_chunk(&chunk?);
        }
        let (answer, session) = generation.into_answer();
        messages.extend(self.reply_messages(&answer, options));
        (self.messages, self.images, self.session) = (messages, images, session);
        Ok(answer)
    }

    /// A reply as the next prompt has it. Thoughts are kept where tools were called, for the model
    /// still works on the same question; templates drop them later.
    fn reply_messages(&self, answer: &Answer, options: &GenerateOptions) -> Vec<Message> {
        let tools = options.tools.as_ref().filter(|_| !answer.tool_calls.is_empty());
        let Some(tools) = tools else {
            return vec![Message::text(Role::Assistant, without_thoughts(&answer.text))];
        };
        let format = ToolFormat::of(&self.model.inner().format);
        let reply = answer.reply();
        let mut splitter = ToolCallSplitter::new(format, tools);
        let text = splitter.push(&reply.text).text + &splitter.finish().text;
        format.message(text.trim(), reply.reasoning, &answer.tool_calls)
    }

    /// The turns so far.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// How the model writes calls of tools.
    pub fn tool_format(&self) -> ToolFormat {
        ToolFormat::of(&self.model.inner().format)
    }

    /// Memory that the key-value cache takes, in bytes.
    pub fn cache_bytes(&self) -> usize {
        self.session.bytes()
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
            let (_, next) = model.prompt(&messages, &chat.images, None, None).unwrap();
            let common = chat.session.rows_in_common(&row_sources(&next));
            assert!(common >= answer.usage.prompt, "{common} of {:?}", answer.usage);
        }
    }
}
