//! What a metric is given.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A prediction with what it is held against. Most metrics take a text and a list of texts; some
/// take lists or objects, which their documentation says.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Item {
    /// Names the item in reports.
    #[serde(default)]
    pub id: Value,
    /// What the model said.
    pub prediction: Value,
    /// What would have been right.
    #[serde(default)]
    pub references: Value,
    /// What else the metric needs, such as the question's type.
    #[serde(default)]
    pub extra: Value,
}

/// Why an item has no score.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScoreError {
    /// A field is not of the form that the metric takes.
    #[error("`{field}` is not {expected}")]
    WrongForm {
        /// The field, such as `references`.
        field: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// The reference scorer raises an exception on this item, so there is no score to equal.
    #[error("the reference scorer has no score here: {0}")]
    Undefined(&'static str),
}

impl Item {
    /// The prediction as a text.
    ///
    /// # Errors
    /// [`ScoreError::WrongForm`] when it is something else.
    pub fn text(&self) -> Result<&str, ScoreError> {
        self.prediction
            .as_str()
            .ok_or(ScoreError::WrongForm { field: "prediction", expected: "a text" })
    }

    /// The predictions as texts; one text counts as a list of one.
    ///
    /// # Errors
    /// [`ScoreError::WrongForm`] when they are something else.
    pub fn prediction_texts(&self) -> Result<Vec<&str>, ScoreError> {
        texts(&self.prediction)
            .ok_or(ScoreError::WrongForm { field: "prediction", expected: "a list of texts" })
    }

    /// The references as texts; one text counts as a list of one.
    ///
    /// # Errors
    /// [`ScoreError::WrongForm`] when they are something else.
    pub fn reference_texts(&self) -> Result<Vec<&str>, ScoreError> {
        texts(&self.references)
            .ok_or(ScoreError::WrongForm { field: "references", expected: "a list of texts" })
    }

    /// A part of `extra`, which an error calls `field`.
    pub(super) fn extra_part<T: DeserializeOwned>(
        &self,
        part: &str,
        field: &'static str,
        expected: &'static str,
    ) -> Result<T, ScoreError> {
        T::deserialize(&self.extra[part]).map_err(|_| ScoreError::WrongForm { field, expected })
    }
}

fn texts(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// A score as JSON, which has no numbers for infinity and nan: they become texts.
pub(super) fn number(score: f64) -> Value {
    match score {
        f64::INFINITY => Value::from("inf"),
        f64::NEG_INFINITY => Value::from("-inf"),
        _ if score.is_nan() => Value::from("nan"),
        _ => Value::from(score),
    }
}
