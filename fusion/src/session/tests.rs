use super::*;
use crate::VisualTokens;
use crate::ask::user_message;
use crate::fixtures::{folder, model};
use glm4v_vision::Image;

fn picture(model: &Model) -> VisualTokens {
    model.embed(&Image::open(folder("glm4v").join("one_image_0.png")).unwrap()).unwrap()
}

fn prompt(model: &Model, visuals: &[VisualTokens], question: &str) -> Spliced {
    model.prompt(&[user_message(visuals, question)], visuals, None, None).unwrap().1
}

fn prefill(session: &mut Session, model: &Model, prompt: &Spliced) -> Vec<f32> {
    session.prefill(model, prompt, &CancelToken::default()).unwrap()
}

fn near(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    let most = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(most < 2e-4, "logits differ by {most}");
}

#[test]
fn chunks_give_what_one_pass_gives() {
    for name in ["glm4v", "glm4v_9b", "glm4v_moe", "glm5_next"] {
        let model = model(name);
        let prompt = prompt(&model, &[picture(&model)], "What is in the first frame?");
        let whole = prefill(&mut Session::new(model.decoder()), &model, &prompt);
        for rows in [1, 2, 5, 16, prompt.rows() - 1, prompt.rows()] {
            let chunk = NonZeroUsize::new(rows).unwrap();
            let mut session = Session::new(model.decoder()).with_prefill_chunk(chunk);
            near(&prefill(&mut session, &model, &prompt), &whole);
            assert_eq!(session.len(), prompt.rows());
        }
    }
}

#[test]
fn a_reused_beginning_gives_what_a_fresh_run_gives() {
    for name in ["glm4v", "glm5_next"] {
        let model = model(name);
        let visuals = [picture(&model)];
        let questions = ["What is it?", "What is it made of, and why?", "Why?", "What is it?"];
        let mut session = Session::new(model.decoder());
        for question in questions {
            let prompt = prompt(&model, &visuals, question);
            let fresh = prefill(&mut Session::new(model.decoder()), &model, &prompt);
            near(&prefill(&mut session, &model, &prompt), &fresh);
            assert_eq!(session.len(), prompt.rows());
            session.step(&model, 7).unwrap(); // an answer that the next prompt leaves out
        }
    }
}

#[test]
fn a_recurrent_state_goes_on_or_starts_anew() {
    let model = model("glm5_next");
    let (ids, prompt) = model.prompt(&[user_message(&[], "Why?")], &[], None, None).unwrap();
    let mut session = Session::new(model.decoder());
    prefill(&mut session, &model, &prompt);
    session.step(&model, 65).unwrap();
    // The same rows and more: only those are run.
    let longer = model.splice(&[&ids[..], &[65, 66, 67]].concat(), &[]).unwrap();
    let fresh = prefill(&mut Session::new(model.decoder()), &model, &longer);
    near(&prefill(&mut session, &model, &longer), &fresh);
    // Of the prompt's own rows there is no way back to one.
    let mut forked = session.fork().unwrap();
    forked.cache.forget_marks();
    forked.rewind(1).unwrap();
    assert_eq!((forked.len(), forked.cache.len(), forked.owed.len()), (0, 0, longer.rows() - 1));
    near(&prefill(&mut forked, &model, &longer), &fresh);
}

#[test]
fn guesses_are_taken_back() {
    for name in ["glm4v", "glm5_next"] {
        let model = model(name);
        let visuals = [picture(&model)];
        let prompt = prompt(&model, &visuals, "What is it made of?");
        let mut session = Session::new(model.decoder());
        prefill(&mut session, &model, &prompt);
        let mut plain = session.fork().unwrap();
        // Passes whose last guesses are wrong, in a row, so that more is owed than is run at once.
        for (right, wrong) in [(2, 3), (1, 1), (6, 2), (9, 1), (4, 4), (2, 0)] {
            let tokens: Vec<u32> =
                (0..right).map(|i| 70 + i).chain((0..wrong).map(|_| 9)).collect();
            let found = session.run(&model, &tokens).unwrap();
            session.rewind(wrong as usize).unwrap();
            let steps = tokens.iter().take(right as usize);
            let steps: Vec<_> = steps.map(|&token| plain.step(&model, token).unwrap()).collect();
            assert!(found.iter().zip(&steps).all(|(a, b)| a == b), "{name} {right} {wrong}");
        }
        for token in [65, 66, 300] {
            assert_eq!(session.step(&model, token).unwrap(), plain.step(&model, token).unwrap());
            assert_eq!((session.len(), session.next_position), (plain.len(), plain.next_position));
        }
    }
}

#[test]
fn tokens_that_are_owed_are_run_beside_other_sessions() {
    let model = model("glm5_next");
    let prompt = prompt(&model, &[], "What is it made of?");
    let mut first = Session::new(model.decoder());
    prefill(&mut first, &model, &prompt);
    let mut plain = [first.fork().unwrap(), first.fork().unwrap()];
    let mut second = first.fork().unwrap();
    first.run(&model, &[65, 66, 9, 9]).unwrap();
    first.rewind(2).unwrap();
    let found = step_together(&model, &mut [(&mut first, 67), (&mut second, 7)]).unwrap();
    plain[0].run(&model, &[65, 66]).unwrap();
    assert_eq!(found[0], plain[0].step(&model, 67).unwrap());
    assert_eq!(found[1], plain[1].step(&model, 7).unwrap());
}

#[test]
fn a_recurrent_state_keeps_the_pictures_rows_for_other_questions() {
    let model = model("glm5_next");
    let visuals = [picture(&model)];
    let mut session = Session::new(model.decoder());
    for question in ["What is it?", "What is it made of, and why?", "Why?"] {
        let prompt = prompt(&model, &visuals, question);
        let fresh = prefill(&mut Session::new(model.decoder()), &model, &prompt);
        near(&prefill(&mut session, &model, &prompt), &fresh);
        let pictures = end_of_visuals(&row_sources(&prompt));
        assert_eq!(session.cache.marks(), [pictures, prompt.rows()]);
        session.step(&model, 7).unwrap();
        let mut forked = session.fork().unwrap();
        forked.go_back(pictures + 1).unwrap();
        assert_eq!((forked.len(), forked.cache.len()), (pictures, pictures));
    }
}

#[test]
fn the_common_beginning_is_not_run_again() {
    let model = model("glm4v");
    let longer = prompt(&model, &[], "What is it made of?");
    let fresh = prefill(&mut Session::new(model.decoder()), &model, &longer);
    // A cache that claims to hold this prompt's rows and holds another's must show.
    let mut session = Session::new(model.decoder());
    prefill(&mut session, &model, &prompt(&model, &[], "Why, and what, is the total?"));
    session.rows = row_sources(&longer);
    session.rows.truncate(session.cache.len());
    let found = prefill(&mut session, &model, &longer);
    assert!(found.iter().zip(&fresh).any(|(a, b)| (a - b).abs() > 0.1));
}

#[test]
fn another_picture_is_not_taken_for_the_cached_one() {
    let model = model("glm4v");
    let other = Image::open(folder("glm4v").join("video_v0_f0.png")).unwrap();
    let other = model.embed(&other).unwrap();
    let mut session = Session::new(model.decoder());
    prefill(&mut session, &model, &prompt(&model, &[picture(&model)], "What?"));
    let prompt = prompt(&model, &[other], "What?");
    let fresh = prefill(&mut Session::new(model.decoder()), &model, &prompt);
    near(&prefill(&mut session, &model, &prompt), &fresh);
}

#[test]
fn a_step_gives_what_a_longer_prompt_gives() {
    for name in ["glm4v", "glm4v_9b", "glm4", "glm5_next"] {
        let model = model(name);
        let visuals = if model.info().vision { vec![picture(&model)] } else { Vec::new() };
        let (mut ids, prompt) =
            model.prompt(&[user_message(&visuals, "What?")], &visuals, None, None).unwrap();
        let mut session = Session::new(model.decoder());
        prefill(&mut session, &model, &prompt);
        for token in [65, 66, 300] {
            ids.push(token);
            let longer = model.splice(&ids, &visuals).unwrap();
            let expected = prefill(&mut Session::new(model.decoder()), &model, &longer);
            near(&session.step(&model, token).unwrap(), &expected);
        }
    }
}

#[test]
fn steps_made_together_give_what_each_gives_alone() {
    for name in ["glm4v", "glm4v_9b", "glm4", "glm5_next"] {
        let model = model(name);
        let visuals = if model.info().vision { vec![picture(&model)] } else { Vec::new() };
        let prompts = ["What?", "What is it made of, and why?", "Why?"]
            .map(|question| prompt(&model, &visuals, question));
        let mut sessions: Vec<Session> = prompts
            .iter()
            .map(|prompt| {
                let mut session = Session::new(model.decoder());
                prefill(&mut session, &model, prompt);
                session
            })
            .collect();
        let mut alone: Vec<Session> = sessions.iter().map(|s| s.fork().unwrap()).collect();
        for tokens in [[65, 66, 300], [7, 66, 9]] {
            let mut steps: Vec<_> = sessions.iter_mut().zip(tokens).collect();
            let together = step_together(&model, &mut steps).unwrap();
            for ((session, token), logits) in alone.iter_mut().zip(tokens).zip(together) {
                // To the bit: an answer does not depend on those made beside it.
                assert_eq!(logits, session.step(&model, token).unwrap());
            }
        }
    }
}

#[test]
fn tokens_run_together_give_the_bits_of_steps() {
    for name in ["glm4v", "glm4v_9b", "glm4", "glm4v_moe", "glm5_next"] {
        let model = model(name);
        let question = "Why, and what, is the total of all that it is made of? ".repeat(12);
        let prompt = prompt(&model, &[], &question);
        let mut one_by_one = Session::new(model.decoder());
        prefill(&mut one_by_one, &model, &prompt);
        let mut together = one_by_one.fork().unwrap();
        let tokens: Vec<u32> = (65..78).collect();
        let steps: Vec<_> =
            tokens.iter().map(|&token| one_by_one.step(&model, token).unwrap()).collect();
        assert!(together.run(&model, &tokens).unwrap() == steps, "{name}");
    }
}

#[test]
fn a_cancelled_prefill_ends() {
    let model = model("glm4v");
    let cancel = CancelToken::default();
    cancel.cancel();
    let prompt = prompt(&model, &[], "What?");
    let result = Session::new(model.decoder()).prefill(&model, &prompt, &cancel);
    assert!(matches!(result, Err(FusionError::Cancelled)));
}

#[test]
fn the_rows_of_a_picture_are_not_run_again() {
    let model = model("glm5_next");
    let picture = picture(&model);
    let twice = VisualTokens::picture((picture.rows() * 2.0).unwrap(), picture.grid());
    let other = prompt(&model, &[twice], "What is it made of, and why?");
    let fresh = prefill(&mut Session::new(model.decoder()), &model, &other);
    // A state that claims to be of the other picture, and is of this one, must show.
    let mut session = Session::new(model.decoder());
    prefill(&mut session, &model, &prompt(&model, &[picture], "What is it?"));
    let sources = row_sources(&other);
    let pictures = end_of_visuals(&sources);
    session.rows[..pictures].copy_from_slice(&sources[..pictures]);
    let found = prefill(&mut session, &model, &other);
    assert!(found.iter().zip(&fresh).any(|(a, b)| (a - b).abs() > 0.1));
}
