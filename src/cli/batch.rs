//! One question to every image in turn.

use super::inputs::Opened;
use super::progress::image_bar;
use super::{
    Engine, Exit, JobArgs, Output, Picture, Question, Record, Shown, draw_boxes, drawing_paths,
    told,
};
use glm4v::{FinishReason, Model, VideoFile};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A question to many images, with one loading of the model.
pub(crate) struct Batch<'a> {
    pub(crate) args: &'a JobArgs,
    pub(crate) engine: &'a Engine<'a>,
    pub(crate) question: Question<'a>,
    pub(crate) form: Form,
}

/// What is printed of a reply.
#[derive(Clone, Copy)]
pub(crate) enum Form {
    /// Its text, while it comes.
    Streamed,
    /// What `convert` makes of the image's name and the whole text.
    Converted {
        convert: fn(&str, &str) -> anyhow::Result<String>,
        /// Whether a line above each text says which image it is of.
        headers: bool,
    },
}

impl Batch<'_> {
    /// Asks, prints each answer when it is there, and tells which images failed.
    pub(crate) fn run(&self) -> anyhow::Result<Exit> {
        if let Some(path) = &self.args.video {
            return self.run_video(path);
        }
        let pictures = Picture::expand(&self.args.images, &self.args.reading)?;
        let headers = matches!(self.form, Form::Streamed | Form::Converted { headers: true, .. });
        let mut output = Output::new(self.args.json, headers && pictures.len() > 1);
        let drawings = match &self.args.draw_boxes {
            Some(target) => drawing_paths(target, &pictures)?,
            None => Vec::new(),
        };
        let bar = image_bar(pictures.len(), self.engine.console);
        let mut failed = 0;
        for (place, picture) in pictures.iter().enumerate() {
            if self.engine.cancel.is_cancelled() {
                return Ok(Exit::Interrupted);
            }
            bar.set_message(picture.name.clone());
            let result = match picture.open(&self.args.reading.options()) {
                Ok(opened) => {
                    let drawing = drawings.get(place).map(PathBuf::as_path);
                    self.answer(self.engine.model()?, picture, opened, drawing, &mut output)
                }
                Err(error) => Err(error),
            };
            output.end()?;
            match result {
                Ok(FinishReason::Cancelled) => return Ok(Exit::Interrupted),
                Ok(FinishReason::Stop | FinishReason::Length) => {}
                // What ends the job, and is no fault of this image.
                Err(error) if Exit::of_error(&error) != Exit::Failed => return Err(error),
                Err(error) if is_full(&error) => return Err(error),
                Err(error) => {
                    failed += 1;
                    let message = in_image(&picture.name, &error);
                    bar.suspend(|| self.engine.console.error(&message));
                    let (model, prompt) = (self.engine.name(), &self.question.prompt);
                    let image = Shown::One(&picture.name);
                    output.record(&Record::of_error(image, model, prompt, message))?;
                }
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(Exit::of_inputs(failed, pictures.len()))
    }

    /// Asks about one video.
    fn run_video(&self, path: &Path) -> anyhow::Result<Exit> {
        let name = path.display().to_string();
        let mut output = Output::new(self.args.json, false);
        let (shown, model) = (Shown::One(&name), self.engine.name());
        let result = self.answer_video(&name, path, &mut output);
        output.end()?;
        match result {
            Ok(FinishReason::Cancelled) => Ok(Exit::Interrupted),
            Ok(FinishReason::Stop | FinishReason::Length) => Ok(Exit::Done),
            Err(error) => {
                if Exit::of_error(&error) == Exit::Failed {
                    let message = in_image(&name, &error);
                    let prompt = &self.question.prompt;
                    output.record(&Record::of_error(shown, model, prompt, message))?;
                }
                Err(error)
            }
        }
    }

    fn answer_video(
        &self,
        name: &str,
        path: &Path,
        output: &mut Output,
    ) -> anyhow::Result<FinishReason> {
        let started = Instant::now();
        let video = VideoFile::open(path, self.args.video_fps, &self.args.reading.options())?;
        let decode_time = started.elapsed();
        let (console, model) = (self.engine.console, self.engine.model()?);
        let started = Instant::now();
        let visuals = [model.embed_video_file(&video)?];
        let convert = match self.form {
            Form::Streamed => None,
            Form::Converted { convert, .. } => Some(convert),
        };
        let mut reply =
            self.question.ask_visuals(model, &visuals, started.elapsed(), &mut |piece| {
                console.detail_piece(&piece.reasoning);
                if convert.is_some() { Ok(()) } else { output.piece(&piece.text) }
            })?;
        if let Some(convert) = convert {
            reply.text = convert(name, &reply.text)?;
            output.piece(&reply.text)?;
        }
        output.end()?;
        reply.tell_times(console);
        let (shown, prompt) = (Shown::One(name), &self.question.prompt);
        output.record(&Record::of_reply(shown, &model.info().name, prompt, decode_time, &reply))?;
        Ok(reply.answer.finish_reason)
    }

    fn answer(
        &self,
        model: &Model,
        picture: &Picture,
        Opened { image, time }: Opened,
        drawing: Option<&Path>,
        output: &mut Output,
    ) -> anyhow::Result<FinishReason> {
        let console = self.engine.console;
        let images = [image];
        let reply = match self.form {
            Form::Streamed => {
                output.begin(&picture.name)?;
                self.question.ask(model, &images, &mut |piece| {
                    console.detail_piece(&piece.reasoning);
                    output.piece(&piece.text)
                })?
            }
            Form::Converted { convert, .. } => {
                let mut reply = self.question.ask(model, &images, &mut |piece| {
                    console.detail_piece(&piece.reasoning);
                    Ok(())
                })?;
                if reply.answer.finish_reason != FinishReason::Cancelled {
                    reply.text = convert(&picture.name, &reply.text)?;
                    output.begin(&picture.name)?;
                    output.piece(&reply.text)?;
                }
                reply
            }
        };
        output.end()?;
        reply.tell_times(console);
        if let (Some(drawing), [image]) = (drawing, &images) {
            draw_boxes(image, &reply.boxes, drawing)?;
        }
        let (shown, prompt) = (Shown::One(&picture.name), &self.question.prompt);
        output.record(&Record::of_reply(shown, &model.info().name, prompt, time, &reply))?;
        Ok(reply.answer.finish_reason)
    }
}

/// Whether the output has no room left.
fn is_full(error: &anyhow::Error) -> bool {
    let io: Option<&std::io::Error> = error.downcast_ref();
    io.is_some_and(|io| io.kind() == std::io::ErrorKind::StorageFull)
}

/// What went wrong with an image; messages of the decoder name it themselves.
fn in_image(name: &str, error: &anyhow::Error) -> String {
    let message = told(error);
    if message.starts_with(name) { message } else { format!("{name}: {message}") }
}
