//! A model behind an address of OpenAI's shape as an answerer of benchmarks.

use super::local::LocalAnswerer;
use super::pace::Pace;
use crate::cli::Engine;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use glm4v::{CancelToken, ImageOptions};
use glm4v_eval::answerer::{AnswerError, Answerer, AnswererCard, Finish, Question, Reply};
use serde_json::{Map, Value, json};
use std::io::Read;
use std::time::{Duration, Instant};

/// Choices about an endpoint that answers in a model's place.
#[derive(Debug, clap::Args)]
pub(super) struct EndpointArgs {
    /// Ask an endpoint of OpenAI's shape, such as http://localhost:8000/v1; --model is its name
    /// there, and the key in OPENAI_API_KEY is sent along
    #[arg(long, value_name = "URL", help_heading = "Endpoint")]
    endpoint: Option<String>,
    /// The most seconds that an endpoint may take for an answer
    #[arg(long, value_name = "S", default_value_t = 300, help_heading = "Endpoint")]
    timeout: u64,
    /// How often an endpoint is asked again after a failure that may pass
    #[arg(long, value_name = "N", default_value_t = 5, help_heading = "Endpoint")]
    retries: u32,
    /// The most questions that an endpoint is asked in a minute, repeated ones among them
    #[arg(long, value_name = "N", help_heading = "Endpoint")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..), requires = "endpoint")]
    requests_per_minute: Option<u32>,
    /// Questions asked at the same time: 4 of a model here, which answers them together, 8 of an
    /// endpoint
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: Option<u16>,
}

impl EndpointArgs {
    /// What answers: the endpoint, or the engine's own model, which reads images by `reading`.
    pub(super) fn answerer(
        &self,
        engine: &Engine<'_>,
        reading: ImageOptions,
    ) -> anyhow::Result<Box<dyn Answerer>> {
        let Some(address) = &self.endpoint else {
            return Ok(Box::new(LocalAnswerer::new(engine, reading)?));
        };
        let options = EndpointOptions {
            address: address.clone(),
            model: engine.name().to_owned(),
            timeout: Duration::from_secs(self.timeout.max(1)),
            retries: self.retries,
            per_minute: self.requests_per_minute,
            key: std::env::var("OPENAI_API_KEY").ok().filter(|key| !key.is_empty()),
        };
        Ok(Box::new(EndpointAnswerer::new(options, engine.cancel.clone())))
    }

    pub(super) fn concurrency(&self) -> usize {
        self.concurrency.unwrap_or(if self.endpoint.is_some() { 8 } else { 4 }).into()
    }
}

/// How an endpoint is asked.
#[derive(Clone, Debug)]
struct EndpointOptions {
    /// The address up to `/v1`, as OpenAI's clients take it.
    address: String,
    /// The name that the endpoint has for the model.
    model: String,
    /// The most time that an answer may take.
    timeout: Duration,
    /// How often a question is asked again after a failure that may pass.
    retries: u32,
    /// The most questions in a minute.
    per_minute: Option<u32>,
    /// Sent as a bearer token.
    key: Option<String>,
}

/// The longest answer that is read, in bytes.
const MOST_BYTES: u64 = 64 << 20;
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A server that asks for more than this gets this.
const LONGEST_ASKED_FOR: Duration = Duration::from_secs(120);

/// Answers by asking an endpoint.
struct EndpointAnswerer {
    options: EndpointOptions,
    card: AnswererCard,
    agent: ureq::Agent,
    pace: Pace,
    cancel: CancelToken,
}

/// How one attempt ended that gave no answer.
enum Failed {
    /// Another attempt may do better, after the wait that the server asks for.
    ForNow(AnswerError, Option<Duration>),
    /// Another attempt would end in the same way.
    ForGood(AnswerError),
}

impl EndpointAnswerer {
    fn new(options: EndpointOptions, cancel: CancelToken) -> Self {
        let mut details = Map::new();
        details.insert("endpoint".to_owned(), options.address.as_str().into());
        // What is behind an address is known by its name only.
        let digest = format!("{} {}", options.address, options.model);
        let (name, family) = (options.model.clone(), "endpoint".to_owned());
        let card = AnswererCard { name, family, digest, details };
        let agent = ureq::AgentBuilder::new()
            .timeout_connect(options.timeout.min(Duration::from_secs(30)))
            .timeout(options.timeout)
            .user_agent(concat!("glm4v/", env!("CARGO_PKG_VERSION")))
            .build();
        let pace = Pace::new(options.per_minute);
        Self { options, card, agent, pace, cancel }
    }

    fn attempt(&self, body: &Value) -> Result<Reply, Failed> {
        let address = format!("{}/chat/completions", self.options.address.trim_end_matches('/'));
        let mut request = self.agent.post(&address).set("Content-Type", "application/json");
        if let Some(key) = &self.options.key {
            request = request.set("Authorization", &format!("Bearer {key}"));
        }
        let response = match request.send_string(&body.to_string()) {
            Ok(response) => response,
            Err(ureq::Error::Status(status, response)) => return Err(refused(status, response)),
            Err(ureq::Error::Transport(error)) => {
                let text = error.to_string();
                return Err(Failed::ForNow(broken(&text), None));
            }
        };
        let mut text = String::new();
        response
            .into_reader()
            .take(MOST_BYTES)
            .read_to_string(&mut text)
            .map_err(|error| Failed::ForNow(broken(&error.to_string()), None))?;
        reply(&text).map_err(|reason| Failed::ForNow(AnswerError::Failed(reason), None))
    }

    /// Waits, unless the user breaks the run off.
    fn wait(&self, time: Duration) -> Result<(), AnswerError> {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if self.cancel.is_cancelled() {
                return Err(AnswerError::Interrupted);
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
        Ok(())
    }
}

impl Answerer for EndpointAnswerer {
    fn card(&self) -> &AnswererCard {
        &self.card
    }

    fn answer(&self, question: &Question<'_>) -> Result<Reply, AnswerError> {
        let body = body(&self.options.model, question);
        let mut wait = FIRST_WAIT;
        let mut attempts = 0;
        loop {
            if self.cancel.is_cancelled() {
                return Err(AnswerError::Interrupted);
            }
            self.wait(self.pace.turn())?;
            let (error, asked_for) = match self.attempt(&body) {
                Ok(reply) => return Ok(reply),
                Err(Failed::ForGood(error)) => return Err(error),
                Err(Failed::ForNow(error, asked_for)) => (error, asked_for),
            };
            if attempts == self.options.retries {
                return Err(error);
            }
            attempts += 1;
            if let Some(time) = asked_for {
                self.pace.hold(time.min(LONGEST_ASKED_FOR));
            } else {
                self.wait(wait.min(LONGEST_WAIT))?;
            }
            wait *= 2;
        }
    }
}

/// The request, with the images as data URLs before the text.
fn body(model: &str, question: &Question<'_>) -> Value {
    let image = |bytes: &Vec<u8>| {
        let url = format!("data:{};base64,{}", mime(bytes), STANDARD.encode(bytes));
        json!({ "type": "image_url", "image_url": { "url": url } })
    };
    let mut content: Vec<Value> = question.images.iter().map(image).collect();
    content.push(json!({ "type": "text", "text": question.prompt }));
    let mut body = json!({
        "model": model,
        "messages": [{ "role": "user", "content": content }],
        "stream": false,
    });
    let options = question.options;
    let optional = [
        ("max_tokens", options.max_tokens.map(Value::from)),
        ("temperature", options.temperature.map(Value::from)),
        ("top_p", options.top_p.map(Value::from)),
        ("top_k", options.top_k.map(Value::from)),
        ("seed", options.seed.map(Value::from)),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    // The chat template's own switch, as vLLM and SGLang pass it on. Sent only when asked for: other
    // servers may refuse a field that they do not know.
    if let Some(thinking) = options.thinking {
        body["chat_template_kwargs"] = json!({ "enable_thinking": thinking });
    }
    body
}

fn mime(bytes: &[u8]) -> &'static str {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [b'G', b'I', b'F', ..] => "image/gif",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
        _ => "image/jpeg",
    }
}

/// The answer in what the endpoint sent.
fn reply(text: &str) -> Result<Reply, String> {
    let sent: Value = serde_json::from_str(text)
        .map_err(|error| format!("the endpoint's answer is no JSON, or is cut off: {error}"))?;
    let choice = &sent["choices"][0];
    let Some(content) = choice["message"]["content"].as_str() else {
        return Err("the endpoint's answer has no choices[0].message.content".to_owned());
    };
    // Servers that part thoughts from answers send them in a field of their own.
    let text = match choice["message"]["reasoning_content"].as_str() {
        Some(thoughts) if !thoughts.is_empty() => format!("<think>{thoughts}</think>{content}"),
        _ => content.to_owned(),
    };
    let finish = match choice["finish_reason"].as_str() {
        Some("length") => Finish::Length,
        Some("content_filter" | "sensitive") => Finish::Filtered,
        _ => Finish::Stop,
    };
    let tokens = |name: &str| sent["usage"][name].as_u64().map(|count| count as usize);
    Ok(Reply {
        text,
        finish,
        prompt_tokens: tokens("prompt_tokens"),
        image_tokens: None,
        completion_tokens: tokens("completion_tokens"),
    })
}

/// What a status other than success means for the question and for the run.
fn refused(status: u16, response: ureq::Response) -> Failed {
    let wait = response.header("Retry-After").and_then(|seconds| seconds.parse().ok());
    let wait = wait.map(Duration::from_secs);
    let text = response.into_string().unwrap_or_default();
    let told: String = text.trim().chars().take(200).collect();
    let reason = format!("the endpoint answered {status}: {told}");
    match status {
        408 | 425 | 429 | 500..=599 => Failed::ForNow(AnswerError::Failed(reason), wait),
        401 | 403 | 404 => Failed::ForGood(AnswerError::Unusable(reason)),
        _ => Failed::ForGood(AnswerError::Failed(reason)),
    }
}

/// A connection that broke, or took too long.
fn broken(error: &str) -> AnswerError {
    let error = error.to_owned();
    match error.contains("timed out") {
        true => AnswerError::Timeout(error),
        false => AnswerError::Failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glm4v_eval::answerer::AnswerOptions;

    #[test]
    fn what_is_left_to_the_server_is_not_sent() {
        let sent = |options: &AnswerOptions| {
            body("m", &Question { images: &[], prompt: "What?", options })
        };
        let plain = sent(&AnswerOptions::default());
        let names: Vec<&String> = plain.as_object().map(|o| o.keys().collect()).unwrap_or_default();
        assert_eq!(names, ["model", "messages", "stream"]);
        let options = AnswerOptions { thinking: Some(false), seed: Some(7), ..Default::default() };
        let full = sent(&options);
        assert_eq!(full["chat_template_kwargs"]["enable_thinking"], false);
        assert_eq!(full["seed"], 7);
    }
}
