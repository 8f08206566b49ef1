#include "core/recipe_yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <sstream>
#include <utility>

#include "core/error.h"
#include "core/utf8.h"

namespace thinkrec {
namespace {

using NodePtr = std::shared_ptr<YamlNode>;

YamlPlace place_of(const YAML::Mark& mark) { return mark.is_null() ? YamlPlace{} : YamlPlace{mark.line + 1, mark.column + 1}; }

/// Builds the tree from the parser's events, and stops it as soon as a bound is passed.
class TreeBuilder : public YAML::EventHandler {
 public:
  NodePtr root;

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (root) throw YamlError{place_of(mark), "a second YAML document; a recipe is one document"};
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { leaf(mark, "", anchor, YamlNode::Kind::kNull, ""); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& value) override {
    leaf(mark, tag, anchor, YamlNode::Kind::kScalar, value);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    start(mark, tag, anchor, YamlNode::Kind::kSequence);
  }
  void OnSequenceEnd() override { end(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    start(mark, tag, anchor, YamlNode::Kind::kMap);
  }
  void OnMapEnd() override { end(); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) throw YamlError{place_of(mark), "an alias inside the node that it names"};
    attach(found->second, place_of(mark));
  }

 private:
  struct Open {
    NodePtr node;
    YAML::anchor_t anchor;
    bool has_key = false;
    YamlNode::Entry entry{};
  };

  static NodePtr make(const YAML::Mark& mark, const std::string& tag, YamlNode::Kind kind) {
    if (!tag.empty() && tag != "?" && tag != "!") {
      throw YamlError{place_of(mark), "YAML tags are not used in recipes: leave out '" + tag.substr(0, 60) + "'"};
    }
    auto node = std::make_shared<YamlNode>();
    node->kind = kind;
    node->place = place_of(mark);
    return node;
  }

  void leaf(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YamlNode::Kind kind, const std::string& text) {
    auto node = make(mark, tag, kind);
    node->text = text;
    if (anchor != 0) anchors_[anchor] = node;
    attach(node, node->place);
  }

  void start(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YamlNode::Kind kind) {
    if (open_.size() >= kMaxYamlDepth) throw YamlError{place_of(mark), fmt::format("nested deeper than {}", kMaxYamlDepth)};
    open_.push_back({make(mark, tag, kind), anchor});
  }

  void end() {
    const Open done = std::move(open_.back());
    open_.pop_back();
    if (done.anchor != 0) anchors_[done.anchor] = done.node;
    attach(done.node, done.node->place);
  }

  void attach(const NodePtr& node, YamlPlace place) {
    if (open_.empty()) {
      root = node;
      return;
    }
    Open& parent = open_.back();
    YamlNode& into = *parent.node;
    if (into.kind == YamlNode::Kind::kMap && !parent.has_key) {
      if (node->kind != YamlNode::Kind::kScalar) throw YamlError{place, "a key must be a plain name"};
      parent.entry = {node->text, place, nullptr};
      parent.has_key = true;
      return;
    }
    // `nodes` stays far below overflow: both terms are within the bound when they are added.
    into.nodes += node->nodes;
    into.height = std::max(into.height, node->height + 1);
    if (into.nodes > kMaxYamlNodes) throw YamlError{place, fmt::format("more than {} values, aliases expanded", kMaxYamlNodes)};
    if (open_.size() + node->height > kMaxYamlDepth) throw YamlError{place, fmt::format("nested deeper than {}", kMaxYamlDepth)};
    if (into.kind == YamlNode::Kind::kSequence) {
      into.items.push_back(node);
      return;
    }
    parent.entry.value = node;
    into.entries.push_back(std::move(parent.entry));
    parent.has_key = false;
  }

  std::vector<Open> open_;
  std::map<YAML::anchor_t, NodePtr> anchors_;
};

/// yaml-cpp takes byte 4 for the end of the file and guesses at other encodings: only clean UTF-8 gets that far.
void check_characters(const std::string& text) {
  YamlPlace place;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_length(text, at);
    if (length == 0) throw YamlError{place, "not UTF-8"};
    const auto c = static_cast<unsigned char>(text[at]);
    if (c < 0x20 && c != '\n' && c != '\r' && c != '\t') {
      throw YamlError{place, fmt::format("a control character (0x{:02x})", static_cast<unsigned>(c))};
    }
    at += length;
    ++place.column;
    if (c == '\n') place = {place.line + 1, 1};
  }
}

}  // namespace

std::shared_ptr<const YamlNode> parse_yaml(const std::string& text) {
  if (text.size() > kMaxRecipeBytes) throw YamlError{{}, fmt::format("longer than {} bytes", kMaxRecipeBytes)};
  check_characters(text);
  TreeBuilder builder;
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    throw YamlError{place_of(error.mark), "bad YAML: " + error.msg};
  }
  if (!builder.root) builder.root = std::make_shared<YamlNode>();
  return builder.root;
}

std::string yaml_scalar(const std::string& text) {
  const auto safe = [](unsigned char c) { return c < 0x80 && (std::isalnum(c) != 0 || c == '_' || c == '/'); };
  const auto inside = [&](unsigned char c) { return safe(c) || c == '.' || c == '-'; };
  bool plain = !text.empty() && safe(static_cast<unsigned char>(text[0])) && std::all_of(text.begin(), text.end(), inside);
  for (const char* word : {"null", "Null", "NULL"}) plain = plain && text != word;
  if (plain) return text;
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (c == '\n') {
      result += "\\n";
    } else if (byte < 0x20 || byte == 0x7F) {
      result += fmt::format("\\x{:02x}", static_cast<unsigned>(byte));
    } else {
      result += c;
    }
  }
  return result + "\"";
}

}  // namespace thinkrec
