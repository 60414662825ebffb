//! The page of a run in a browser, as its readers use it. Without chromium and chromedriver nothing
//! is tested, and a line says so.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod browser;

use browser::Browser;
use glm4v_eval::answerer::{AnswerError, Answerer, AnswererCard, Finish, Question, Reply};
use glm4v_eval::run::{RunOptions, run};
use glm4v_eval::task::Task;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const HUMAN: usize = 2000;
const AUGMENTED: usize = 1000;
const ALL: usize = HUMAN + AUGMENTED;
const RIGHT: &str = "alpha beta";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
/// A question that would run as a script if a text were taken for markup.
const HOSTILE: &str = "</script><img src=x onerror='window.taken = 1'>{{data}} number 1?";

/// Full scores, zeros and scores between by turns; every fortieth answer is cut off.
fn reply(number: usize) -> Reply {
    let text = match number % 4 {
        1 => "zzz",
        2 => "alpha bet",
        _ => RIGHT,
    };
    let finish = if number % 40 == 3 { Finish::Length } else { Finish::Stop };
    Reply { text: text.to_owned(), finish, ..Reply::default() }
}

struct Numbers(AnswererCard);

impl Answerer for Numbers {
    fn card(&self) -> &AnswererCard {
        &self.0
    }

    fn answer(&self, question: &Question<'_>) -> Result<Reply, AnswerError> {
        let (_, number) = question.prompt.split_once("number ").unwrap();
        let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
        Ok(reply(digits.parse().unwrap()))
    }
}

/// A run of thousands of samples on three pictures, scored by ANLS so that there are scores between.
fn report() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("png")).unwrap();
    for (at, color) in [[200, 60, 40], [40, 140, 90], [50, 90, 200]].into_iter().enumerate() {
        let picture = image::RgbImage::from_pixel(64, 48, image::Rgb(color));
        picture.save(folder.path().join(format!("png/{at}.png"))).unwrap();
    }
    let rows = |numbers: std::ops::Range<usize>| {
        let row = |number: usize| {
            let question = match number {
                1 => HOSTILE.to_owned(),
                _ => format!("What does the chart show at number {number}?"),
            };
            serde_json::json!({ "imgname": format!("{}.png", number % 3), "query": question, "label": RIGHT })
        };
        serde_json::to_vec(&numbers.map(row).collect::<Vec<_>>()).unwrap()
    };
    fs::write(folder.path().join("test_human.json"), rows(0..HUMAN)).unwrap();
    fs::write(folder.path().join("test_augmented.json"), rows(HUMAN..ALL)).unwrap();
    let output = folder.path().join("run");
    let metric = Some("anls:vlmevalkit".to_owned());
    let options = RunOptions { metric, ..RunOptions::new(folder.path(), &output) };
    let answerer = Numbers(AnswererCard { name: "numbers".into(), ..Default::default() });
    run(&Task::find("chartqa").unwrap(), &answerer, &options, &|_| {}).unwrap();
    let page = output.join("report.html");
    (folder, page)
}

/// How many samples are told to be shown, and how many are drawn.
fn shown(browser: &Browser) -> (usize, usize) {
    let told = browser.text("document.getElementById('count').textContent");
    let (count, all) = told.split_once(" of ").unwrap();
    assert_eq!(all.parse(), Ok(ALL));
    (count.parse().unwrap(), browser.number("document.querySelectorAll('article').length") as usize)
}

/// The first so many of the samples with these numbers are drawn, 40 unless there are fewer.
fn assert_shows(browser: &Browser, wanted: impl Fn(usize) -> bool, what: &str) {
    let count = (0..ALL).filter(|number| wanted(*number)).count();
    assert_eq!(shown(browser), (count, count.min(40)), "{what}");
    let ids = browser.value("[...document.querySelectorAll('article')].map(a => a.id)");
    let id = |number: usize| match number {
        0..HUMAN => format!("s-human-{number}"),
        _ => format!("s-augmented-{}", number - HUMAN),
    };
    let first: Vec<String> = (0..ALL).filter(|number| wanted(*number)).take(40).map(id).collect();
    assert_eq!(ids, serde_json::json!(first), "{what}");
}

#[test]
fn the_page_of_thousands_of_samples_is_used_by_mouse_and_keyboard_on_any_screen() {
    let Some(browser) = Browser::start() else {
        println!("skipped: no chromium and chromedriver on the path");
        return;
    };
    let (_folder, page) = report();
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR"));
    browser.screen(1280, 1000);
    let begun = Instant::now();
    browser.open(&page);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    first_look(&browser);
    browser.picture(&pictures.join("report-wide.png"));
    filters(&browser);
    keyboard(&browser);
    zoom(&browser);
    narrow(&browser);
    browser.picture(&pictures.join("report-narrow.png"));
    browser.value("document.getElementById('samples').scrollIntoView()");
    browser.picture(&pictures.join("report-narrow-samples.png"));
    assert_eq!(browser.complaints(), Vec::<String>::new());
    println!("pictures of the page are in {}", pictures.display());
}

fn first_look(browser: &Browser) {
    assert_shows(browser, |_| true, "all");
    let headline = browser.text("document.querySelector('.headline').textContent");
    // Half of the samples have 1, a quarter 0.9.
    assert!(headline.starts_with("0.7250"), "{headline}");
    assert!(
        headline.contains("anls:vlmevalkit") && headline.contains("3000 samples"),
        "{headline}"
    );
    let cells = "[...document.querySelectorAll('table')].map(t => t.textContent).join(' ')";
    let cells = browser.text(cells);
    for part in ["answered in full", "split: human", "split: augmented", "truncated75"] {
        assert!(cells.contains(part), "{part}: {cells}");
    }
    assert_eq!(browser.number("document.querySelectorAll('.chart .wide svg').length"), 2);
    // A text of the data is a text, whatever it looks like.
    let question =
        browser.text("document.getElementById('s-human-1').querySelector('dd').textContent");
    assert_eq!(question, HOSTILE);
    assert_eq!(browser.value("window.taken === undefined"), true);
    let zero = browser.text("document.getElementById('s-human-1').textContent");
    for part in ["score 0", "zzz", RIGHT, "Nearest is", "below one half"] {
        assert!(zero.contains(part), "{part}: {zero}");
    }
    let loaded = "[...document.querySelectorAll('#s-human-0 img, #s-human-1 img')].every(i => i.naturalWidth == 64)";
    assert_eq!(browser.value(loaded), true);
    // More samples come as they are scrolled to.
    browser.value("window.scrollTo(0, document.body.scrollHeight)");
    let begun = Instant::now();
    while shown(browser).1 <= 40 {
        assert!(begun.elapsed() < Duration::from_secs(10), "no more samples came");
        std::thread::sleep(Duration::from_millis(20));
    }
    browser.value("window.scrollTo(0, 0)");
}

fn filters(browser: &Browser) {
    browser.choose("score", "zero");
    assert_shows(browser, |number| number % 4 == 1, "zeros");
    browser.choose("group", "split: augmented");
    assert_shows(browser, |number| number % 4 == 1 && number >= HUMAN, "zeros of a part");
    browser.choose("score", "part");
    assert_shows(browser, |number| number % 4 == 2 && number >= HUMAN, "between");
    browser.choose("group", "");
    browser.choose("score", "");
    browser.choose("state", "truncated");
    assert_shows(browser, |number| number % 40 == 3, "truncated");
    browser.choose("state", "");
    browser.click("#text");
    browser.press("NUMBER 29");
    assert_shows(browser, |number| number.to_string().starts_with("29"), "search");
    browser.value("document.getElementById('text').value = ''");
    browser.choose("order", "worst");
    let first =
        browser.value("[...document.querySelectorAll('article')].every(a => a.matches('.zero'))");
    assert_eq!((first, shown(browser).0), (true.into(), ALL));
    browser.choose("order", "");
    assert_shows(browser, |_| true, "all again");
}

fn keyboard(browser: &Browser) {
    let focused = || browser.text("document.activeElement.id");
    browser.value("document.activeElement.blur()");
    browser.press("jj");
    assert_eq!(focused(), "s-human-1");
    browser.press("k");
    assert_eq!(focused(), "s-human-0");
    let opened = "document.getElementById('s-human-0').querySelector('details').open";
    browser.press(ENTER);
    assert_eq!(browser.value(opened), true);
    browser.press(ENTER);
    assert_eq!(browser.value(opened), false);
    // Past the last sample that is drawn.
    browser.press(&"j".repeat(45));
    assert_eq!(focused(), "s-human-45");
    let place = "document.activeElement.getBoundingClientRect().top";
    assert!((0..1000).contains(&browser.number(place)), "the sample is not on the screen");
    browser.press("f");
    assert_shows(browser, |number| number % 4 == 1, "failures by key");
    browser.press("/");
    assert_eq!(focused(), "text");
    // Letters are letters there, and no commands.
    browser.press("f");
    assert_eq!(browser.text("document.getElementById('text').value"), "f");
    browser.press("\u{e003}");
    browser.press(ESCAPE);
    assert_eq!(focused(), "");
    browser.press("f");
    assert_shows(browser, |_| true, "all by key");
}

fn zoom(browser: &Browser) {
    browser.value("window.scrollTo(0, document.getElementById('samples').offsetTop)");
    browser.click("#s-human-0 img");
    assert_eq!(browser.value("document.getElementById('zoom').open"), true);
    browser.press(ESCAPE);
    assert_eq!(browser.value("document.getElementById('zoom').open"), false);
}

fn narrow(browser: &Browser) {
    browser.screen(360, 740);
    // The scroll bar takes some of the width.
    let wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert_eq!(browser.number(wide), 0, "the page is wider than the screen");
    let seen = |class: &str| {
        browser.number(&format!("document.querySelector('.chart .{class}').offsetWidth"))
    };
    assert_eq!(seen("wide"), 0);
    assert!((300..=360).contains(&seen("narrow")), "{}", seen("narrow"));
    // Nothing of a sample is cut off at the side.
    let within = "[...document.querySelectorAll('article *, nav *')].every(e => e.getBoundingClientRect().right <= 361)";
    assert_eq!(browser.value(within), true);
}
