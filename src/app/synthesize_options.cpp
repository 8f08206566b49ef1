// The options of thinkrec_synthesize.

#include "app/programs.h"

namespace thinkrec {
namespace {

const ProgramInfo kProgram = {
    "thinkrec_synthesize",
    "Makes keywords for items or reasons for rows by an LLM and stores them in the data set; goes on where it ended.",
    "thinkrec_synthesize reasons --data data.h5 --model M.gguf --rows 32\n"
    "       thinkrec_synthesize reasons --data data.h5 --backend openai --endpoint https://HOST/v1 --model NAME --rows 4000 --store thinking\n"
    "       thinkrec_synthesize keywords --data data.h5 --model M.gguf\n"
    "       thinkrec_synthesize references --data data.h5 --model M.gguf --rows 80 --output refs.jsonl",
    "WHAT (reasons, keywords, references)"};

OptionTable options() {
  using enum OptionType;
  return {
      {"data", kPath, "", "", "", "data set written by thinkrec_prepare; it is extended in place, but for references"},
      {"backend", kChoice, "local", "choices local|openai", "",
       "who answers. local: the model named by --model, on this machine. openai: --endpoint"},
      {"model", kPath, "", "", "", "Hugging Face folder or .gguf file; the endpoint's name for its model"},
      {"rows", kInteger, "32", "[0, inf)", "reasons", "that the data set, or the file of references, shall have in the end"},
      {"output", kPath, "", "", "",
       "of references: the file for thinkrec_eval --text, JSON lines of rows with a full --history; it is extended where it is there"},
      {"split", kChoice, "test", "choices train|valid|test", "", "of references: where the rows are from"},
      {"history", kInteger, "8", "[1, 1000]", "items", "of the history that the model is shown"},
      {"turns", kInteger, "4", "[1, 100]", "turns",
       "that a row is asked about at most; from the second on the right answer is revealed"},
      {"reveal", kFlag, "false", "", "",
       "keep no reply of the first turn: every reason comes from a model that was told the right answer"},
      {"wrong", kPath, "", "", "",
       "choose among the train rows that these scores say wrongly: FILE[:MODEL] of thinkrec_eval --split train --all-rows --scores"},
      {"threshold", kReal, "0", "", "",
       "a score above it says that the item is liked; 0 for the language models' scores, which are logits"},
      {"store", kChoice, "reply", "choices reply|thinking", "",
       "what becomes the reason: the reply, or the model's own thinking before it (reasoning_content, or <think>...</think>)"},
      {"min-words", kInteger, "6", "[1, 10000]", "words", "of an explanation; a shorter one is not accepted"},
      {"max-words", kInteger, "0", "[0, 100000]", "words",
       "of an explanation, which is cut at the end of a sentence; 0: any number"},
      {"retry-failed", kFlag, "false", "", "", "ask again about rows that the same model with the same settings has failed"},
      {"items", kInteger, "0", "[0, inf)", "items", "that are given keywords at most; 0: all that have none"},
      {"again", kFlag, "false", "", "", "give keywords also to items that have some"},
      {"max-new-tokens", kInteger, "0", "[0, 32768]", "tokens",
       "of a reply; 0: 96 for a reason, 64 for keywords, from an endpoint 1024"},
      {"temperature", kReal, "0", "[0, 2]", "", "0: the likeliest reply"},
      {"batch", kInteger, "8", "[1, 1024]", "prompts", "answered at once by the local model"},
      {"endpoint", kText, "", "", "", "address of an OpenAI-compatible server, for example http://127.0.0.1:8000/v1"},
      {"key-variable", kText, "OPENAI_API_KEY", "", "",
       "environment variable that holds the endpoint's key; unset: no key is sent"},
      {"concurrency", kInteger, "8", "[1, 256]", "requests", "to the endpoint at once"},
      {"timeout", kReal, "120", "[0.1, 3600]", "seconds", "for one reply of the endpoint, as a whole"},
      {"retries", kInteger, "6", "[0, 100]", "retries",
       "of a request that met 429, 5xx, a broken connection or an unreadable reply"},
      {"retry-wait", kReal, "1", "[0.001, 60]", "seconds", "before the first retry; doubled each time up to 60, with jitter"},
      {"seed", kInteger, "0", "[0, inf)", "", "which rows are tried, and what is drawn with a temperature"},
      {"threads", kInteger, "0", "[0, 1024]", "threads", "0: all cores"},
  };
}

}  // namespace

const Program& synthesize_program() {
  static const Program kThis = {kProgram, options()};
  return kThis;
}

}  // namespace thinkrec
