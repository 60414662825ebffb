//! Where the hub and its cache are, and who asks.

use std::path::PathBuf;
use std::time::Duration;

use crate::WeightsError;

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";
const DEFAULT_RETRIES: usize = 5;
const DEFAULT_PATIENCE: Duration = Duration::from_secs(60);

/// Where the hub and its cache are, and how to ask.
#[derive(Clone, PartialEq, Eq)]
pub struct HubOptions {
    /// The folder that holds `models--owner--name` folders.
    pub cache: PathBuf,
    /// The hub's address, without a slash at the end.
    pub endpoint: String,
    /// The access token, sent to the hub as a bearer token.
    pub token: Option<String>,
    /// Use the cache alone, never the network.
    pub offline: bool,
    /// How often a download that broke off is taken up again without a byte of progress.
    pub retries: usize,
    /// How long the hub may send nothing at all before it is given up.
    pub patience: Duration,
}

impl HubOptions {
    /// Options with this cache and the public hub, without a token.
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        Self {
            cache: cache.into(),
            endpoint: DEFAULT_ENDPOINT.to_owned(),
            token: None,
            offline: false,
            retries: DEFAULT_RETRIES,
            patience: DEFAULT_PATIENCE,
        }
    }

    /// Options from the variables that Hugging Face's own client reads: `HF_HUB_CACHE`,
    /// `HF_HOME` (its `hub` and `token` inside), `XDG_CACHE_HOME`, `HF_ENDPOINT`, `HF_TOKEN`,
    /// `HF_TOKEN_PATH` and `HF_HUB_OFFLINE`.
    ///
    /// # Errors
    /// [`WeightsError::NoHome`] when no variable says where the cache is and there is no home
    /// folder.
    pub fn from_env() -> Result<Self, WeightsError> {
        Self::from_variables(|name| std::env::var(name).ok(), std::env::home_dir())
    }

    fn from_variables(
        variable: impl Fn(&str) -> Option<String>,
        user_home: Option<PathBuf>,
    ) -> Result<Self, WeightsError> {
        let variable = |name| variable(name).filter(|value| !value.trim().is_empty());
        let home = match (variable("HF_HOME"), variable("XDG_CACHE_HOME")) {
            (Some(home), _) => PathBuf::from(home),
            (None, Some(caches)) => PathBuf::from(caches).join("huggingface"),
            (None, None) => {
                user_home.ok_or(WeightsError::NoHome)?.join(".cache").join("huggingface")
            }
        };
        let cache = variable("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from);
        let token_file =
            variable("HF_TOKEN_PATH").map_or_else(|| home.join("token"), PathBuf::from);
        let mut options = Self::new(cache);
        if let Some(endpoint) = variable("HF_ENDPOINT") {
            options.endpoint = endpoint.trim_end_matches('/').to_owned();
        }
        options.token = variable("HF_TOKEN")
            .or_else(|| std::fs::read_to_string(token_file).ok())
            .map(|token| token.trim().to_owned())
            .filter(|token| !token.is_empty());
        options.offline = variable("HF_HUB_OFFLINE").is_some_and(|value| is_true(&value));
        Ok(options)
    }
}

impl std::fmt::Debug for HubOptions {
    /// Shows whether there is a token, never the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubOptions")
            .field("cache", &self.cache)
            .field("endpoint", &self.endpoint)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("offline", &self.offline)
            .field("retries", &self.retries)
            .field("patience", &self.patience)
            .finish()
    }
}

/// The values that Hugging Face's client takes for yes.
fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> HubOptions {
        let get = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        HubOptions::from_variables(get, Some("/u".into())).unwrap()
    }

    #[test]
    fn the_cache_is_where_the_variables_say() {
        assert_eq!(read(&[]).cache, PathBuf::from("/u/.cache/huggingface/hub"));
        assert_eq!(read(&[("XDG_CACHE_HOME", "/c")]).cache, PathBuf::from("/c/huggingface/hub"));
        assert_eq!(read(&[("HF_HOME", "/h")]).cache, PathBuf::from("/h/hub"));
        let both = [("HF_HOME", "/h"), ("HF_HUB_CACHE", "/x")];
        assert_eq!(read(&both).cache, PathBuf::from("/x"));
        let none = HubOptions::from_variables(|_| None, None);
        assert!(matches!(none, Err(WeightsError::NoHome)));
    }

    #[test]
    fn a_token_comes_from_its_variable_or_its_file() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().to_str().unwrap();
        assert_eq!(read(&[("HF_HOME", path)]).token, None);
        std::fs::write(home.path().join("token"), "from-file\n").unwrap();
        assert_eq!(read(&[("HF_HOME", path)]).token.as_deref(), Some("from-file"));
        let both = [("HF_HOME", path), ("HF_TOKEN", "from-variable")];
        assert_eq!(read(&both).token.as_deref(), Some("from-variable"));
        assert!(!format!("{:?}", read(&both)).contains("from-variable"));
    }

    #[test]
    fn endpoint_and_offline_follow_their_variables() {
        let options = read(&[("HF_ENDPOINT", "http://127.0.0.1:1/"), ("HF_HUB_OFFLINE", "TRUE")]);
        assert_eq!(options.endpoint, "http://127.0.0.1:1");
        assert!(options.offline);
        let options = read(&[("HF_HUB_OFFLINE", "0"), ("HF_ENDPOINT", "")]);
        assert_eq!(options.endpoint, DEFAULT_ENDPOINT);
        assert!(!options.offline);
    }
}
