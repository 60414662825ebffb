//! One question to a model, its thoughts parted from its answer.

use super::{Console, Engine, GenerateArgs, JobArgs, PixelBox};
use glm4v::{
    Answer, FinishReason, GenerateOptions, Generation, Image, Message, Model, Part, Role,
    VisualTokens,
};
use glm4v_language::{ReasoningSplitter, Split};
use std::time::{Duration, Instant};

/// Said when an answer that follows a grammar stops short.
pub(crate) const CUT: &str = "the token limit cut the answer short: the rest of what its grammar asks for is as short as can be, or missing; raise --max-tokens";

/// A question as it is put to any number of images.
pub(crate) struct Question<'a> {
    pub(crate) prompt: String,
    system: Option<&'a str>,
    options: GenerateOptions,
    generate: &'a GenerateArgs,
    console: Console,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The answer without thoughts, and without white space at its ends.
    pub(crate) text: String,
    /// The thoughts of a model that thinks.
    pub(crate) reasoning: Option<String>,
    /// The short answer that it put into a box.
    pub(crate) boxed: Option<String>,
    /// The boxes that it drew round things; none when several images were seen together, for then
    /// nothing says which of them is meant.
    pub(crate) boxes: Vec<PixelBox>,
    /// Why it ended, its tokens and times. Its own text is the raw one.
    pub(crate) answer: Answer,
    /// Time of preprocessing, tower and projector.
    pub(crate) vision: Duration,
}

impl Reply {
    /// The reply to a text without a conversation: nothing is parted or trimmed.
    pub(crate) fn verbatim(answer: Answer) -> Self {
        let (text, vision) = (answer.text.clone(), answer.timings.vision);
        Self { text, reasoning: None, boxed: None, boxes: Vec::new(), vision, answer }
    }

    /// Finds the boxes that the reply draws in the image, when it was one.
    pub(crate) fn place_boxes(&mut self, images: &[Image]) {
        if let [image] = images {
            let (width, height) = image.size();
            let grounding = self.answer.reply().grounding;
            self.boxes = grounding.iter().map(|found| PixelBox::of(found, width, height)).collect();
        }
    }

    /// Tells curious users where tokens and times went.
    pub(crate) fn tell_times(&self, console: Console) {
        let (usage, timings) = (&self.answer.usage, &self.answer.timings);
        let seconds = timings.decode.as_secs_f64();
        console.detail(&format!(
            "vision {:.3} s, prefill {:.3} s ({} tokens, {} of images), decode {seconds:.3} s ({} tokens, {:.0} a second)",
            self.vision.as_secs_f64(),
            timings.prefill.as_secs_f64(),
            usage.prompt,
            usage.image,
            usage.completion,
            usage.completion as f64 / seconds.max(1e-9),
        ));
    }
}

/// Called with each piece of a reply.
pub(crate) type OnPiece<'a> = &'a mut dyn FnMut(&Split) -> std::io::Result<()>;

impl<'a> Question<'a> {
    pub(crate) fn new(
        prompt: &str,
        args: &'a JobArgs,
        engine: &Engine<'_>,
    ) -> anyhow::Result<Self> {
        let conversation = &args.conversation;
        let options = args.generate.options(conversation.thinking(), &engine.cancel)?;
        let (system, console) = (conversation.system.as_deref(), engine.console);
        let generate = &args.generate;
        Ok(Self { prompt: prompt.to_owned(), system, options, generate, console })
    }

    /// Puts the question to `images`, seen together.
    pub(crate) fn ask(
        &self,
        model: &Model,
        images: &[Image],
        on_piece: OnPiece<'_>,
    ) -> anyhow::Result<Reply> {
        let started = Instant::now();
        let mut visuals = Vec::with_capacity(images.len());
        for image in images {
            if self.options.cancel.is_cancelled() {
                return Err(glm4v::Error::Cancelled.into());
            }
            visuals.push(model.embed(image)?);
        }
        let mut reply = self.ask_visuals(model, &visuals, started.elapsed(), on_piece)?;
        reply.place_boxes(images);
        Ok(reply)
    }

    /// Puts the question to images and videos whose visual tokens took the time `vision`.
    pub(crate) fn ask_visuals(
        &self,
        model: &Model,
        visuals: &[VisualTokens],
        vision: Duration,
        on_piece: OnPiece<'_>,
    ) -> anyhow::Result<Reply> {
        let place = |tokens: &VisualTokens| match tokens.is_video() {
            true => Part::Video,
            false => Part::Image,
        };
        let mut parts: Vec<Part> = visuals.iter().map(place).collect();
        parts.push(Part::Text(self.prompt.clone()));
        let system = self.system.map(|text| Message::text(Role::System, text));
        let messages: Vec<_> =
            system.into_iter().chain([Message::new(Role::User, parts)]).collect();
        let in_grammar = |error| self.generate.in_grammar(error);
        let generation = model.generate(&messages, visuals, &self.options).map_err(in_grammar)?;
        let mut reply = collect(generation, on_piece, in_grammar)?;
        reply.vision = vision;
        if self.options.grammar.is_some() && reply.answer.finish_reason == FinishReason::Length {
            self.console.note(CUT);
        }
        Ok(reply)
    }
}

/// Reads a generation to its end.
fn collect(
    mut generation: Generation,
    on_piece: OnPiece<'_>,
    in_grammar: impl Fn(glm4v::Error) -> anyhow::Error,
) -> anyhow::Result<Reply> {
    let mut collector = Collector::default();
    for chunk in &mut generation {
        on_piece(&collector.push(&chunk.map_err(&in_grammar)?.text))?;
    }
    on_piece(&collector.finish())?;
    Ok(collector.into_reply(generation.answer()))
}

/// Parts a reply as it arrives, and keeps it.
#[derive(Default)]
pub(crate) struct Collector {
    splitter: ReasoningSplitter,
    whole: Split,
}

impl Collector {
    /// Takes a piece of raw text; gives what it makes certain.
    pub(crate) fn push(&mut self, text: &str) -> Split {
        let split = self.splitter.push(text);
        self.keep(split)
    }

    /// Gives what was held back.
    pub(crate) fn finish(&mut self) -> Split {
        let split = self.splitter.finish();
        self.keep(split)
    }

    fn keep(&mut self, split: Split) -> Split {
        self.whole.text += &split.text;
        self.whole.reasoning += &split.reasoning;
        split
    }

    /// The whole reply to an answer that has ended.
    pub(crate) fn into_reply(self, answer: Answer) -> Reply {
        let reasoning = self.whole.reasoning.trim_end();
        Reply {
            text: self.whole.text.trim_end().to_owned(),
            reasoning: (!reasoning.is_empty()).then(|| reasoning.to_owned()),
            boxed: answer.reply().boxed,
            boxes: Vec::new(),
            vision: answer.timings.vision,
            answer,
        }
    }
}
