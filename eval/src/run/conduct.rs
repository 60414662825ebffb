//! A run from its beginning, or from where it stopped, to its scores.

use super::feed::{Feed, Job, Next};
use super::folder::ResponseLog;
use super::plan::{Plan, plan};
use super::{Failure, FailureKind, Identity, Manifest, Response, RunFolder, Selection, Shard};
use crate::EvalError;
use crate::answerer::{AnswerError, AnswerOptions, Answerer, Question};
use crate::scores::{Scores, running_score};
use crate::task::{DEFAULT_PRESET, Extraction, PromptTemplate, Scoring, Task};
use glm4v_datasets::Dataset;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// When so many questions fail before one is answered, the answerer is taken to be broken.
const HOPELESS: usize = 10;

/// Choices about a run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The dataset's folder or file.
    pub data: PathBuf,
    /// The run's folder.
    pub output: PathBuf,
    /// The prompts' preset.
    pub preset: String,
    /// Which samples are asked.
    pub selection: Selection,
    /// The part of them that this run asks.
    pub shard: Option<Shard>,
    /// Questions asked at the same time.
    pub concurrency: usize,
    /// How answers are made. Without a limit of tokens, the preset's.
    pub answer: AnswerOptions,
    /// Another metric than the task's, as `NAME:VARIANT`.
    pub metric: Option<String>,
    /// Another rule of extraction than the task's.
    pub extract: Option<Extraction>,
}

impl RunOptions {
    /// A run of all samples, one at a time, with greedy answers.
    pub fn new(data: impl Into<PathBuf>, output: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            output: output.into(),
            preset: DEFAULT_PRESET.to_owned(),
            selection: Selection::default(),
            shard: None,
            concurrency: 1,
            answer: AnswerOptions { temperature: Some(0.0), ..AnswerOptions::default() },
            metric: None,
            extract: None,
        }
    }
}

/// How a run gets on.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Samples that have an answer, or failed.
    pub done: usize,
    /// Samples in all.
    pub total: usize,
    /// Of those done, how many had an answer before this run began or went on.
    pub before: usize,
    /// The mean score so far, for metrics that have one a sample.
    pub score: Option<f64>,
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// The scores.
    pub scores: Scores,
    /// Samples asked now, and how long it took.
    pub asked: usize,
    /// Time from the first question to the last answer.
    pub elapsed: Duration,
}

/// Runs `task` with `answerer`, or goes on with the run in the folder. `on_progress` is called
/// after each sample.
///
/// # Errors
/// When the dataset, the folder or the answerer can't be used, or the user broke it off. What was
/// answered until then stays in the folder.
pub fn run(
    task: &Task,
    answerer: &dyn Answerer,
    options: &RunOptions,
    on_progress: &(dyn Fn(Progress) + Sync),
) -> Result<Outcome, EvalError> {
    let dataset = Dataset::find(&task.layout, &options.data)?;
    let plan = plan(&dataset, &options.selection, options.shard)?;
    if plan.indices.is_empty() {
        let (place, bad) = (options.data.clone(), plan.bad_rows.len());
        return Err(EvalError::NoSamples { place, bad });
    }
    let manifest = manifest(task, answerer, options, &dataset, &plan)?;
    let folder = RunFolder::begin(&options.output, &manifest)?;
    let log = folder.response_log()?;
    let responses = folder.responses()?;
    let template = PromptTemplate::new(&manifest.identity.prompt)?;
    let feed = Feed {
        samples: dataset.samples(true).enumerate(),
        wanted: plan.indices.clone().into_iter().peekable(),
        template: &template,
        card: answerer.card(),
        options: &manifest.identity.options,
        done: responses.iter().map(|r| (r.id.clone(), r.key.clone())).collect(),
        replies: responses.iter().map(|r| (r.key.clone(), r.reply.clone())).collect(),
        waiting: HashMap::new(),
    };
    let tally = Tally::new(&responses, plan.indices.len(), &manifest.scoring);
    let office = Office {
        state: Mutex::new(State { feed, log, tally, end: None }),
        answerer,
        options: &manifest.identity.options,
        on_progress,
    };
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..options.concurrency.max(1) {
            scope.spawn(|| office.work());
        }
    });
    let elapsed = started.elapsed();
    let state = office.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = state.end {
        return Err(error);
    }
    folder.write_failures(&state.tally.failures)?;
    let scores = Scores::of_run(&folder)?;
    folder.write_json("scores.json", &scores)?;
    crate::report::write_report(&folder)?;
    Ok(Outcome { scores, asked: state.tally.asked, elapsed })
}

fn manifest(
    task: &Task,
    answerer: &dyn Answerer,
    options: &RunOptions,
    dataset: &Dataset,
    plan: &Plan,
) -> Result<Manifest, EvalError> {
    let preset = task.preset(&options.preset)?;
    let mut answer = options.answer.clone();
    answer.max_tokens = answer.max_tokens.or(preset.max_tokens);
    let mut scoring = task.scoring.clone();
    scoring.metric = options.metric.clone().unwrap_or(scoring.metric);
    scoring.extract = options.extract.clone().unwrap_or(scoring.extract);
    let metric = scoring.metric()?;
    scoring.metric = format!("{}:{}", metric.name, metric.variant);
    let identity = Identity::new(
        task,
        &dataset.layout().name,
        (&options.preset, preset),
        answerer.card(),
        &answer,
        (&options.selection, plan.digest.clone()),
    );
    Ok(Manifest {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        identity,
        task_place: task.place.clone(),
        shard: options.shard,
        scoring,
        data: options.data.clone(),
        samples: plan.selected,
        asked: plan.indices.len(),
        bad_rows: plan.bad_rows.clone(),
    })
}

/// What the workers share.
struct Office<'a> {
    state: Mutex<State<'a>>,
    answerer: &'a dyn Answerer,
    options: &'a AnswerOptions,
    on_progress: &'a (dyn Fn(Progress) + Sync),
}

struct State<'a> {
    feed: Feed<'a>,
    log: ResponseLog,
    tally: Tally<'a>,
    /// Why the run ended before its time.
    end: Option<EvalError>,
}

/// What has been done so far.
struct Tally<'a> {
    scoring: &'a Scoring,
    total: usize,
    before: usize,
    done: usize,
    asked: usize,
    answered: usize,
    /// Sum and number of the scores so far.
    scores: (f64, usize),
    failures: Vec<Failure>,
}

impl<'a> Tally<'a> {
    fn new(responses: &[Response], total: usize, scoring: &'a Scoring) -> Self {
        let before = responses.len();
        let mut tally = Self {
            scoring,
            total,
            before,
            done: before,
            asked: 0,
            answered: 0,
            scores: (0.0, 0),
            failures: Vec::new(),
        };
        responses.iter().for_each(|response| tally.score(response));
        tally
    }

    fn score(&mut self, response: &Response) {
        if let Some(score) = running_score(self.scoring, response) {
            self.scores = (self.scores.0 + score, self.scores.1 + 1);
        }
    }

    fn progress(&self) -> Progress {
        let (sum, count) = self.scores;
        Progress {
            done: self.done,
            total: self.total,
            before: self.before,
            score: (count > 0).then(|| sum / count as f64),
        }
    }
}

impl<'a> Office<'a> {
    fn state(&self) -> MutexGuard<'_, State<'a>> {
        // A worker that panicked left nothing half-written: lines are written whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks until there is nothing to ask, or the run ends.
    fn work(&self) {
        loop {
            let next = {
                let mut state = self.state();
                if state.end.is_some() {
                    return;
                }
                state.feed.next()
            };
            let result = match next {
                Ok(Next::End) => return,
                Ok(Next::Ask(job)) => self.ask(*job),
                Ok(Next::Known(response)) => self.state().keep(&response),
                Ok(Next::Unreadable(response, reason)) => {
                    self.state().fail(*response, FailureKind::Failed, &reason)
                }
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                self.state().end.get_or_insert(error);
                return;
            }
            let progress = self.state().tally.progress();
            (self.on_progress)(progress);
        }
    }

    fn ask(&self, job: Job) -> Result<(), EvalError> {
        let Job { mut response, images } = job;
        let started = Instant::now();
        let question =
            Question { images: &images, prompt: &response.prompt, options: self.options };
        let reply = self.answerer.answer(&question);
        response.milliseconds = started.elapsed().as_millis() as u64;
        let mut state = self.state();
        state.tally.asked += 1;
        let alike = state.feed.waiting.remove(&response.key).unwrap_or_default();
        match reply {
            Ok(reply) => {
                response.reply = reply;
                state.tally.answered += 1;
                state.feed.replies.insert(response.key.clone(), response.reply.clone());
                state.keep(&response)?;
                for mut other in alike {
                    other.reply = response.reply.clone();
                    other.reused = true;
                    state.keep(&other)?;
                }
                Ok(())
            }
            Err(AnswerError::Interrupted) => Err(EvalError::Interrupted),
            Err(AnswerError::Unusable(reason)) => Err(EvalError::Unusable { reason }),
            Err(error @ (AnswerError::Timeout(_) | AnswerError::Failed(_))) => {
                let kind = match &error {
                    AnswerError::Timeout(_) => FailureKind::Timeout,
                    _ => FailureKind::Failed,
                };
                for response in [response].into_iter().chain(alike) {
                    state.fail(response, kind, &error.to_string())?;
                }
                Ok(())
            }
        }
    }
}

impl State<'_> {
    fn keep(&mut self, response: &Response) -> Result<(), EvalError> {
        self.log.append(response)?;
        self.tally.score(response);
        self.tally.done += 1;
        Ok(())
    }

    fn fail(
        &mut self,
        response: Response,
        kind: FailureKind,
        reason: &str,
    ) -> Result<(), EvalError> {
        self.tally.done += 1;
        self.tally.failures.push(Failure { response, kind, reason: reason.to_owned() });
        let failed = self.tally.failures.len();
        if failed >= HOPELESS && self.tally.answered == 0 {
            let reason =
                format!("the first {HOPELESS} questions all failed, the last because: {reason}");
            return Err(EvalError::Unusable { reason });
        }
        Ok(())
    }
}
