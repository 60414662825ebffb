//! Chromium without a window, driven over WebDriver: https://www.w3.org/TR/webdriver2/.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Nothing that would reach beyond this machine, and no profile but the test's own.
const SWITCHES: [&str; 9] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

pub(crate) struct Browser {
    driver: Child,
    /// The address of the session.
    session: String,
    agent: ureq::Agent,
    _profile: TempDir,
}

/// A program on the path, by the first of its names that is there.
fn program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&path)
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    places.find(|place| place.is_file())
}

impl Browser {
    /// Starts a browser; `None` where there is none. With `GLM4V_TEST_BROWSER` set there has to be.
    pub(crate) fn start() -> Option<Self> {
        let chromium = program(&["chromium", "chromium-browser", "google-chrome"]);
        let (Some(chromium), Some(driver)) = (chromium, program(&["chromedriver"])) else {
            assert!(
                std::env::var_os("GLM4V_TEST_BROWSER").is_none(),
                "no chromium or chromedriver"
            );
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let driver = Command::new(driver)
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let agent = ureq::AgentBuilder::new().timeout(Duration::from_secs(120)).build();
        let address = format!("http://127.0.0.1:{port}");
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Self { driver, session: address.clone(), agent, _profile: profile };
        let begun = Instant::now();
        while browser.agent.get(&format!("{address}/status")).call().is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60), "chromedriver does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        let profile = format!("--user-data-dir={}", browser._profile.path().display());
        let switches: Vec<&str> = SWITCHES.into_iter().chain([profile.as_str()]).collect();
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "binary": chromium, "args": switches },
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let session = browser.post("/session", &wanted);
        browser.session = format!("{address}/session/{}", session["sessionId"].as_str().unwrap());
        Some(browser)
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let request = self.agent.post(&format!("{}{path}", self.session));
        let sent = request.set("Content-Type", "application/json").send_string(&body.to_string());
        let text = match sent {
            Ok(response) => response.into_string().unwrap(),
            Err(ureq::Error::Status(status, response)) => {
                panic!("{path}: {status}: {}", response.into_string().unwrap())
            }
            Err(error) => panic!("{path}: {error}"),
        };
        serde_json::from_str::<Value>(&text).unwrap()["value"].take()
    }

    /// Opens a file and waits until it is loaded.
    pub(crate) fn open(&self, file: &Path) {
        self.post("/url", &json!({ "url": format!("file://{}", file.display()) }));
    }

    /// What a JavaScript expression gives.
    pub(crate) fn value(&self, expression: &str) -> Value {
        let script = format!("return ({expression});");
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    pub(crate) fn number(&self, expression: &str) -> u64 {
        let found = self.value(expression);
        found.as_f64().unwrap_or_else(|| panic!("{expression}: {found}")) as u64
    }

    pub(crate) fn text(&self, expression: &str) -> String {
        let found = self.value(expression);
        found.as_str().unwrap_or_else(|| panic!("{expression}: {found}")).to_owned()
    }

    /// Presses keys one after the other, as a person would.
    pub(crate) fn press(&self, keys: &str) {
        let presses: Vec<Value> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key })))
            .collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": presses });
        self.post("/actions", &json!({ "actions": [keyboard] }));
    }

    /// Clicks on the first element that a selector finds.
    pub(crate) fn click(&self, selector: &str) {
        let found = self.post("/element", &json!({ "using": "css selector", "value": selector }));
        let id = found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned();
        self.post(&format!("/element/{id}/click"), &json!({}));
    }

    /// Chooses in a list by its option's value, with the event that a person's choice makes.
    pub(crate) fn choose(&self, list: &str, value: &str) {
        let chosen = format!("document.querySelector('#{list} option[value={value:?}]') !== null");
        assert_eq!(self.value(&chosen), true, "{list} has no {value}");
        self.value(&format!(
            "document.getElementById({list:?}).value = {value:?}, document.getElementById({list:?})\
             .dispatchEvent(new Event('input', {{ bubbles: true }}))"
        ));
    }

    /// Takes on a screen of this size; browsers' windows do not get as narrow as telephones.
    pub(crate) fn screen(&self, width: u32, height: u32) {
        let parameters =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": parameters });
        self.post("/goog/cdp/execute", &command);
    }

    /// Writes what the screen shows to a file for people to look at.
    pub(crate) fn picture(&self, file: &Path) {
        let sent = self.agent.get(&format!("{}/screenshot", self.session)).call().unwrap();
        let sent: Value = serde_json::from_str(&sent.into_string().unwrap()).unwrap();
        let png = STANDARD.decode(sent["value"].as_str().unwrap()).unwrap();
        std::fs::write(file, png).unwrap();
    }

    /// What went wrong in the page so far, as the browser's console has it.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.post("/se/log", &json!({ "type": "browser" }));
        let lines = log.as_array().unwrap().iter();
        lines.filter(|line| line["level"] == "SEVERE").map(Value::to_string).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser with its driver.
        let _ = self.agent.delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
