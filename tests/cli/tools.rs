//! The example tools, run as `glm4v chat` runs them: JSON in, text out.

use base64::Engine;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/tools");

/// What a tool of `tools.json` makes of its arguments; `None`, said on standard error, where there
/// is no Python.
fn call(name: &str, arguments: &Value) -> Option<Output> {
    call_with(name, arguments, &[])
}

/// The same with variables in the tool's environment, for tools of `glm-4.json` too.
fn call_with(name: &str, arguments: &Value, variables: &[(&str, &str)]) -> Option<Output> {
    let files = ["tools.json", "glm-4.json"].map(|file| {
        let text = std::fs::read_to_string(format!("{FOLDER}/{file}")).unwrap();
        serde_json::from_str::<Vec<Value>>(&text).unwrap()
    });
    let mut tools = files.iter().flatten();
    let tool = tools.find(|tool| tool["function"]["name"] == name || tool["type"] == name);
    let command: Vec<&str> = tool.unwrap()["command"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part.as_str().unwrap())
        .collect();
    let started = Command::new(command[0])
        .args(&command[1..])
        .current_dir(FOLDER)
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match started {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            eprintln!("SKIPPED: {} is not installed, so {name} was not run", command[0]);
            return None;
        }
        child => child.unwrap(),
    };
    child.stdin.take().unwrap().write_all(arguments.to_string().as_bytes()).unwrap();
    Some(child.wait_with_output().unwrap())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[cfg(unix)]
#[test]
fn python_runs_within_its_limits() {
    let run = |code: &str| call("run_python", &json!({ "code": code }));
    let Some(sum) = run("print(6 * 7)") else { return };
    assert_eq!((text(&sum.stdout).as_str(), sum.status.success()), ("42\n", true));
    let failed = text(&run("raise ValueError('no')").unwrap().stdout);
    assert!(failed.contains("ValueError: no") && failed.contains("code 1"), "{failed}");
    let greedy = text(&run("len(b'x' * (1 << 30))").unwrap().stdout);
    assert!(greedy.contains("MemoryError"), "{greedy}");
    // What is written goes to a folder that is gone afterwards.
    let place = text(&run("import os; open('a', 'w'); print(os.getcwd())").unwrap().stdout);
    assert!(!std::path::Path::new(place.trim()).exists() && place.len() > 2, "{place}");
}

#[test]
fn pages_of_the_users_own_network_are_not_fetched() {
    for url in ["http://127.0.0.1:1/", "http://[::1]/", "http://10.0.0.1/", "file:///etc/passwd"] {
        let Some(refused) = call("fetch_page", &json!({ "url": url })) else { return };
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{url}");
        let told = text(&refused.stderr);
        assert!(!told.contains("Traceback") && told.contains("not a"), "{url}: {told}");
    }
}

/// Answers two requests: for a page, and for one that is on another address.
fn serve_pages(listener: &TcpListener) {
    const PAGE: &str = "<html><head><title>Fruit</title><script>var no = 1;</script></head>\
        <body><h1>Prices &amp; sorts</h1><p>Apples   cost <b>3</b></p><p>é</p></body></html>";
    for stream in listener.incoming().take(2) {
        let mut stream = stream.unwrap();
        let lines = BufReader::new(&stream).lines().map_while(Result::ok);
        let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let answer = match request[0].starts_with("GET /page ") {
            true => format!(
                "HTTP/1.0 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\r\n{PAGE}",
                PAGE.len()
            ),
            false => "HTTP/1.0 302 Found\r\nLocation: http://127.0.0.2:1/\r\n\r\n".to_owned(),
        };
        stream.write_all(answer.as_bytes()).unwrap();
    }
}

#[test]
fn a_page_comes_as_its_text() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || serve_pages(&listener));
    let fetch = |path: &str| {
        let url = format!("http://{address}/{path}");
        let allowed = [("FETCH_PAGE_ALSO_ALLOWED", "127.0.0.1"), ("no_proxy", "127.0.0.1")];
        call_with("fetch_page", &json!({ "url": url }), &allowed)
    };
    let Some(page) = fetch("page") else { return };
    assert!(page.status.success(), "{}", text(&page.stderr));
    assert_eq!(text(&page.stdout), "Fruit\nPrices & sorts\nApples cost 3\né\n");
    // A redirect to an address that is not public is refused like one that is asked for.
    let elsewhere = fetch("elsewhere").unwrap();
    assert!(text(&elsewhere.stderr).contains("127.0.0.2 is not a public address"));
}

#[test]
fn a_picture_is_drawn_as_it_was_asked_for() {
    let shapes = json!([
        {"kind": "rectangle", "box": [2, 3, 10, 8], "colour": "#ff0000"},
        {"kind": "circle", "centre": [20, 20], "radius": 5, "colour": "#0000ff"},
    ]);
    let wish = json!({"width": 32, "height": 30, "background": "#00ff00", "shapes": shapes});
    let Some(drawn) = call("draw_image", &wish) else { return };
    assert!(drawn.status.success(), "{}", text(&drawn.stderr));
    let path = text(&drawn.stdout);
    let path = std::path::Path::new(path.trim());
    let picture = image::open(path).unwrap().into_rgb8();
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    assert_eq!(picture.dimensions(), (32, 30));
    for (place, colour) in [
        ((2, 3), [255, 0, 0]),
        ((9, 7), [255, 0, 0]),
        ((10, 8), [0, 255, 0]),
        ((20, 20), [0, 0, 255]),
        ((20, 27), [0, 255, 0]),
    ] {
        assert_eq!(picture.get_pixel(place.0, place.1).0, colour, "{place:?}");
    }
    let wrong = call("draw_image", &json!({"width": 0, "height": 9, "shapes": []})).unwrap();
    assert!(!wrong.status.success() && text(&wrong.stderr).contains("from 1 to 2048"));
}

/// Answers two wishes for a picture, with one and with a refusal; gives the first wish.
fn serve_pictures(listener: &TcpListener, picture: &[u8]) -> String {
    let picture = base64::engine::general_purpose::STANDARD.encode(picture);
    let answer = json!({"created": 1, "data": [{"b64_json": picture}]}).to_string();
    let refusal = r#"{"error": {"message": "no such model"}}"#.to_owned();
    let mut wishes = Vec::new();
    for (status, body) in [("200 OK", answer), ("404 Not Found", refusal)] {
        let (mut stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(&stream);
        let (mut wish, mut length) = (String::new(), 0);
        while !wish.ends_with("\r\n\r\n") {
            let start = wish.len();
            reader.read_line(&mut wish).unwrap();
            let line = wish[start..].to_ascii_lowercase();
            length =
                line.strip_prefix("content-length:").map_or(length, |n| n.trim().parse().unwrap());
        }
        let mut sent = vec![0; length];
        reader.read_exact(&mut sent).unwrap();
        wishes.push(wish + &text(&sent));
        let head = format!("HTTP/1.0 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).unwrap();
    }
    wishes.swap_remove(0)
}

#[test]
fn a_picture_is_painted_by_the_endpoints_model() {
    let unset = call("paint_image", &json!({"prompt": "a cat"}));
    let Some(unset) = unset else { return };
    assert!(!unset.status.success() && text(&unset.stderr).contains("set PAINT_IMAGE_ENDPOINT"));

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/v1/", listener.local_addr().unwrap());
    let picture = std::fs::read(format!("{FOLDER}/../images/bars.png")).unwrap();
    let sent = picture.clone();
    let server = std::thread::spawn(move || serve_pictures(&listener, &sent));
    let variables = [
        ("PAINT_IMAGE_ENDPOINT", endpoint.as_str()),
        ("PAINT_IMAGE_MODEL", "painter"),
        ("PAINT_IMAGE_KEY", "key"),
        ("no_proxy", "127.0.0.1"),
    ];
    let painted = call_with("paint_image", &json!({"input": "a café"}), &variables).unwrap();
    let refused = call_with("paint_image", &json!({"prompt": "a cat"}), &variables).unwrap();
    let told = text(&painted.stdout);
    let path = std::path::Path::new(told.trim().strip_prefix("The picture is at ").unwrap());
    assert_eq!(std::fs::read(path).unwrap(), picture);
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    let told = text(&refused.stderr);
    assert!(
        !refused.status.success()
            && told.contains("answered 404")
            && told.contains("no such model"),
        "{told}"
    );

    let wish = server.join().unwrap();
    assert!(wish.starts_with("POST /v1/images/generations "), "{wish}");
    assert!(wish.contains("Authorization: Bearer key\r\n"), "{wish}");
    let body: Value = serde_json::from_str(wish.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!((&body["prompt"], &body["model"]), (&json!("a café"), &json!("painter")));
}

/// GLM-4's own tools get what the model wrote as one text.
#[test]
fn the_tools_take_what_glm_4_writes() {
    let Some(sum) = call("run_python", &json!({"input": "print(6 * 7)"})) else { return };
    assert_eq!(text(&sum.stdout), "42\n");
    let browse = |call_of_browser: &str| {
        text(&call("simple_browser", &json!({ "input": call_of_browser })).unwrap().stderr)
    };
    for open in [r#"open_url("http://127.0.0.1:1/")"#, "open_url(url='http://127.0.0.1:1/')"] {
        assert!(browse(open).contains("127.0.0.1 is not a public address"), "{open}");
    }
    assert!(browse(r#"search("cats")"#).contains("set SEARCH_URL"));
    for wrong in ["search(", "close()", "__import__('os').getcwd()", "search(cats)", "search()"] {
        let told = browse(wrong);
        assert!(!told.contains("Traceback") && told.contains(wrong), "{wrong}: {told}");
    }

    let tools = std::fs::read_to_string(format!("{FOLDER}/glm-4.json")).unwrap();
    let tools: Value = serde_json::from_str(&tools).unwrap();
    for tool in tools.as_array().unwrap() {
        let program = tool["command"][1].as_str().unwrap();
        assert!(std::path::Path::new(FOLDER).join(program).exists(), "{program}");
    }
}

/// Answers requests for a search, a page that is there and one that is not; gives the first's line.
fn serve_search(listener: &TcpListener) -> String {
    let address = listener.local_addr().unwrap();
    let result = |path: &str| json!({"title": path, "url": format!("http://{address}/{path}"), "content": "…"});
    let found = json!({"results": [result("tides"), result("gone"), result("moon")]}).to_string();
    let mut lines = Vec::new();
    for _ in 0..3 {
        let (mut stream, _) = listener.accept().unwrap();
        let heads = BufReader::new(&stream).lines().map_while(Result::ok);
        let request: Vec<String> = heads.take_while(|line| !line.is_empty()).collect();
        let (status, body) = match request[0].split(['?', ' ']).nth(1).unwrap() {
            "/search" => ("200 OK", found.as_str()),
            "/tides" => ("200 OK", "High at noon"),
            _ => ("404 Not Found", ""),
        };
        let head = format!("HTTP/1.0 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + body).as_bytes()).unwrap();
        lines.push(request[0].clone());
    }
    lines.swap_remove(0)
}

#[test]
fn what_was_searched_for_is_opened_by_its_number() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let engine = format!("http://{}/search", listener.local_addr().unwrap());
    let cache = tempfile::tempdir().unwrap();
    let variables = [
        ("SEARCH_URL", engine.as_str()),
        ("XDG_CACHE_HOME", cache.path().to_str().unwrap()),
        ("FETCH_PAGE_ALSO_ALLOWED", "127.0.0.1"),
        ("no_proxy", "127.0.0.1"),
    ];
    let browse = |what: &str| call_with("simple_browser", &json!({ "input": what }), &variables);
    let Some(early) = browse("mclick([0])") else { return };
    assert!(text(&early.stderr).contains("nothing was searched for"));
    let server = std::thread::spawn(move || serve_search(&listener));
    let found = browse(r#"search("tides & moon", recency_days=7)"#).unwrap();
    assert!(found.status.success(), "{}", text(&found.stderr));
    assert!(
        text(&found.stdout).starts_with("【0†tides†http://127.0.0.1:"),
        "{}",
        text(&found.stdout)
    );
    let opened = text(&browse("mclick(ids=[0, 1, 9])").unwrap().stdout);
    assert!(
        opened.contains("】\nHigh at noon\n") && opened.contains("could not be opened"),
        "{opened}"
    );
    assert!(text(&browse("mclick([7])").unwrap().stderr).contains("there are 0 to 2"));
    let asked = server.join().unwrap();
    assert!(
        asked.starts_with("GET /search?q=tides+%26+moon&format=json&time_range=month "),
        "{asked}"
    );
}
