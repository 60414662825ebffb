"""Writes the prompts that lmms-eval's and VLMEvalKit's own code makes of some samples, for eval/tests/presets.rs.

    python3 eval/scripts/make_prompt_cases.py LMMS_EVAL VLMEVALKIT > tests/fixtures/prompts.json

Both are checkouts. Nothing of them is imported: the functions and constants that make prompts are read out of their
files, so that none of what they depend on needs to be installed.
"""

import ast
import json
import pathlib
import sys
import typing


def names(path, *wanted):
    """The functions and constants of these names in a file, by name; those of classes too."""
    tree = ast.parse(pathlib.Path(path).read_text(encoding="utf-8"))
    bodies = [tree.body] + [node.body for node in tree.body if isinstance(node, ast.ClassDef)]
    kept = [node for body in bodies for node in body if name_of(node) in wanted]
    found = {"List": typing.List, "Any": typing.Any}
    exec(compile(ast.Module(kept, []), str(path), "exec"), found)
    return found


def name_of(node):
    if isinstance(node, ast.FunctionDef):
        return node.name
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return None


def charxiv(tasks):
    folder = tasks / "charxiv"
    code = names(folder / "constant.py", "DESCRIPTIVE_RESP_INST", "REASONING_RESP_INST")
    code |= names(folder / "reasoning_utils.py", "get_number_instruction")
    helper = names(folder / "descriptive_utils.py", "descriptive_query_helper")
    asked = names(folder / "utils.py", "charxiv_reasoning_doc_to_text_cot")
    helper.update(code)
    asked.update(code)
    for source, answer in [(1, "Red"), (2, "increases"), (3, "0.5"), (4, "12"), (4, "0.125")]:
        doc = {"reasoning_q": "Which {line} falls?", "reasoning_a": answer, "reasoning_q_source": source}
        text = asked["charxiv_reasoning_doc_to_text_cot"](doc).strip()
        meta = {"kind": "reasoning", "source": source, "answer": answer}
        yield {"question": doc["reasoning_q"], "meta": meta, "prompt": text}
    places = [[0, 0], [2, 3], "the lower left subplot"]
    for template in range(1, 20):
        place = places[template % 3]
        text = helper["descriptive_query_helper"](template, place).strip()
        where = {"location": place} if isinstance(place, str) else {"row": place[0], "column": place[1]}
        yield {"question": "", "meta": {"kind": "descriptive", "template": template, **where}, "prompt": text}


TURNS = [
    ("Factoid", [" How much\nis it? "], ["12"], ""),
    ("Multi Choice", ["Which? a) one b) two"], ["a"], " Sales rose. "),
    ("Fact Checking", ["It's \"true\"."], ["true"], "Sales rose."),
    ("Hypothetical", ["What if it doubled?"], ["24"], ""),
    ("Conversational", ["Which is it?", "Whose 'own'?", "And then?"], ["it's", "'A' \"B\"\n", "x"], "Sales rose."),
]


def chartqapro_lmms_eval(tasks):
    path = tasks / "chartqapro" / "utils.py"
    asked = names(path, "chartqapro_doc_to_text", "_format_conversation")["chartqapro_doc_to_text"]
    # From chartqapro.yaml.
    post_prompt = {"post_prompt": "\nAnswer the question with a short phrase."}
    for kind, questions, answers, paragraph in TURNS:
        doc = {"Question": questions, "Answer": answers, "Question Type": kind, "Paragraph": paragraph}
        yield chartqapro_case(kind, questions, answers, paragraph, asked(doc, post_prompt))


def chartqapro_vlmevalkit(vlmeval):
    asked = names(vlmeval / "dataset" / "utils" / "chartqapro.py", "prompt_context")["prompt_context"]
    for kind, questions, answers, paragraph in TURNS:
        # Models that take one text get both joined so.
        text = "\n".join([paragraph, asked(questions, answers, kind, "Direct")])
        yield chartqapro_case(kind, questions, answers, paragraph, text)


def chartqapro_case(kind, questions, answers, paragraph, text):
    meta = {"question_type": kind, "questions": questions, "answers": answers, "paragraph": paragraph}
    return {"question": questions[0], "meta": meta, "prompt": text}


def main():
    tasks = pathlib.Path(sys.argv[1]) / "lmms_eval" / "tasks"
    vlmeval = pathlib.Path(sys.argv[2]) / "vlmeval"
    omnidocbench = names(tasks / "omnidocbench" / "utils.py", "_DOC_TO_MARKDOWN_PROMPT")
    system_prompt = names(vlmeval / "dataset" / "OmniDocBench" / "omnidocbench.py", "system_prompt")
    groups = [
        ("charxiv", "lmms-eval", charxiv(tasks)),
        ("chartqapro", "lmms-eval", chartqapro_lmms_eval(tasks)),
        ("chartqapro", "vlmevalkit", chartqapro_vlmevalkit(vlmeval)),
        ("omnidocbench", "lmms-eval", [{"prompt": omnidocbench["_DOC_TO_MARKDOWN_PROMPT"]}]),
        ("omnidocbench", "vlmevalkit", [{"prompt": system_prompt["system_prompt"]}]),
    ]
    cases = [{"task": task, "preset": preset, **case} for task, preset, cases in groups for case in cases]
    print(json.dumps(cases, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
