//! From a sample to the words that are put to the model.

use crate::EvalError;
use glm4v_datasets::Sample;
use minijinja::value::{Serde, Value, ValueKind};
use minijinja::{AutoEscape, Environment, UndefinedBehavior};

/// A prompt with places for the sample's parts.
#[derive(Debug)]
pub struct PromptTemplate {
    environment: Environment<'static>,
}

const NAME: &str = "prompt";

impl PromptTemplate {
    /// Reads a Jinja template.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(text: &str) -> Result<Self, EvalError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.add_filter("capitalize_first", capitalize);
        environment.add_filter("python_repr", python_repr);
        environment.add_function("fail", fail);
        environment.add_template_owned(NAME, text.to_owned()).map_err(wrong)?;
        Ok(Self { environment })
    }

    /// The prompt of a sample. The template sees `question`, `options` (a list of texts),
    /// `letters` (`A` and so on, one an option), and `meta`, the sample's metadata; it may call
    /// `fail(reason)` for a sample that it cannot ask.
    ///
    /// # Errors
    /// When the template asks for what the sample does not have.
    pub fn render(&self, sample: &Sample) -> Result<String, EvalError> {
        let letters: Vec<String> =
            ('A'..='Z').take(sample.options.len()).map(String::from).collect();
        let context = minijinja::context! {
            question => &sample.question,
            options => &sample.options,
            letters => letters,
            meta => Serde(&sample.metadata),
        };
        let template = self.environment.get_template(NAME).map_err(wrong)?;
        template.render(context).map_err(wrong)
    }
}

/// Python's `capitalize`: the first letter large, all others small.
fn capitalize(text: &str) -> String {
    let mut letters = text.chars();
    let first: String =
        letters.next().map(|letter| letter.to_uppercase().collect()).unwrap_or_default();
    first + &letters.as_str().to_lowercase()
}

fn fail(reason: String) -> Result<Value, minijinja::Error> {
    Err(minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, reason))
}

/// Python's `repr` of a text or a list of them; other values as they are.
fn python_repr(value: Value) -> Result<String, minijinja::Error> {
    if let Some(text) = value.as_str() {
        return Ok(crate::python::text_repr(text));
    }
    if value.kind() != ValueKind::Seq {
        return Ok(value.to_string());
    }
    let items: Vec<String> = value.try_iter()?.map(python_repr).collect::<Result<_, _>>()?;
    Ok(format!("[{}]", items.join(", ")))
}

fn wrong(error: minijinja::Error) -> EvalError {
    EvalError::Prompt { reason: format!("{error:#}") }
}
