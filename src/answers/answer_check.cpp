#include "answers/answer_check.hpp"

#include <fmt/format.h>
#include <re2/re2.h>

#include <map>
#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

#include "answers/answer_text.hpp"
#include "answers/conversation.hpp"
#include "answers/json_schema.hpp"
#include "base/hash.hpp"
#include "base/printable.hpp"
#include "json/object.hpp"
#include "json/text.hpp"

namespace sluice::answers {
namespace {

constexpr std::size_t longest_reason = 300;     // bytes
constexpr std::size_t longest_refusal = 120;    // bytes of the refusal in a reason
constexpr std::size_t longest_echo = 16 << 10;  // bytes of a rejected reply in the conversation

// The common part of all checks: they look at the text of each choice.
class text_check : public reply_check {
 public:
  std::optional<std::string> why_unchecked(const request& asked) const override {
    if (asked.target == endpoint::embeddings)
      return "--expect checks texts, and the reply of /v1/embeddings has none.";
    return std::nullopt;
  }

  std::optional<std::string> fault_of(const request& asked, const reply& whole) const override {
    const auto choices = choice_texts(whole.body);
    if (choices.empty()) return "the reply has no text";
    for (std::size_t i = 0; i < choices.size(); ++i) {
      const auto fault = fault_of_choice(asked, choices[i]);
      if (!fault) continue;
      const std::string subject =
          choices.size() == 1 ? "the reply" : fmt::format("choice {} of the reply", i + 1);
      const std::string reason = printable_text(subject + " " + *fault);
      return std::string(utf8_prefix(reason, longest_reason));
    }
    return std::nullopt;
  }

  std::optional<std::string> body_with_reason(const request& asked, const reply& rejected,
                                              const std::string& reason) const override {
    std::string said;
    for (const choice_text& choice : choice_texts(rejected.body)) {
      if (!fault_of_choice(asked, choice)) continue;
      said = choice.text.empty() ? choice.refusal : choice.text;
      break;
    }
    return with_turn(asked.target, asked.body, utf8_prefix(said, longest_echo),
                     fmt::format("Your last reply was not accepted: {}. Answer again with {}.",
                                 reason, wanted()));
  }

 protected:
  /// The fault of a text that is complete, for a sentence that begins with "the reply".
  virtual std::optional<std::string> fault_of_text(const request& asked,
                                                   std::string_view text) const = 0;
  /// Describes what a reply should be.
  virtual std::string wanted() const = 0;

 private:
  std::optional<std::string> fault_of_choice(const request& asked,
                                             const choice_text& choice) const {
    if (choice.end == ending::cut_off)
      return "was cut off at its limit of tokens; raise max_tokens";
    if (choice.end == ending::filtered) return "was ended by a content filter";
    if (choice.text.empty() && !choice.refusal.empty())
      return fmt::format("is a refusal: {}", utf8_prefix(choice.refusal, longest_refusal));
    if (choice.text.empty() && choice.calls_tool) return "calls a tool and has no text";
    if (choice.text.empty()) return "has no text";
    return fault_of_text(asked, choice.text);
  }
};

class json_check final : public text_check {
 protected:
  std::optional<std::string> fault_of_text(const request& /*asked*/,
                                           std::string_view text) const override {
    return json_answer_fault(text);
  }
  std::string wanted() const override { return "one JSON value and nothing else"; }
};

class schema_check final : public text_check {
 public:
  explicit schema_check(std::shared_ptr<const json_schema> schema) : schema_(std::move(schema)) {}

 protected:
  std::optional<std::string> fault_of_text(const request& /*asked*/,
                                           std::string_view text) const override {
    return schema_->fault_of(text);
  }
  std::string wanted() const override {
    return "one JSON value that fits the schema, and nothing else";
  }

 private:
  std::shared_ptr<const json_schema> schema_;
};

// The schema of a request, as JSON; empty: none.
std::string own_schema(const request& asked) {
  const json_object body(asked.body);
  const json_object format = asked.target == endpoint::responses
                                 ? body.object("text").object("format")
                                 : body.object("response_format").object("json_schema");
  return std::string(format.value("schema"));
}

class own_schema_check final : public text_check {
 public:
  std::optional<std::string> why_unchecked(const request& asked) const override {
    if (auto why = text_check::why_unchecked(asked)) return why;
    const std::string schema = own_schema(asked);
    if (schema.empty()) {
      return fmt::format(
          "The line has no JSON schema in its {}, and --expect schema needs one; add it, or give "
          "one for all lines with --expect schema=FILE.",
          asked.target == endpoint::responses ? "text.format" : "response_format");
    }
    const auto found = compiled(schema);
    if (found) return std::nullopt;
    return fmt::format("The JSON schema of the line cannot be checked: it {}.", found.error());
  }

 protected:
  std::optional<std::string> fault_of_text(const request& asked,
                                           std::string_view text) const override {
    const auto found = compiled(own_schema(asked));
    if (!found) return fmt::format("cannot be checked: its schema {}", found.error());
    return (*found)->fault_of(text);
  }
  std::string wanted() const override {
    return "one JSON value that fits the schema, and nothing else";
  }

 private:
  using outcome = boost::system::result<std::shared_ptr<const json_schema>, std::string>;

  // The compiled schemas are kept, because most jobs have few schemas and many requests with each.
  outcome compiled(const std::string& schema) const {
    constexpr std::size_t most_kept = 256;
    const hash128 id = hash_of(schema);
    const std::pair key(id.high, id.low);
    {
      const std::lock_guard lock(mutex_);
      if (const auto found = kept_.find(key); found != kept_.end()) return found->second;
    }
    outcome made = json_schema::compile(schema);
    const std::lock_guard lock(mutex_);
    if (kept_.size() >= most_kept) kept_.clear();
    return kept_.emplace(key, std::move(made)).first->second;
  }

  mutable std::mutex mutex_;
  mutable std::map<std::pair<std::uint64_t, std::uint64_t>, outcome> kept_;
};

class pattern_check final : public text_check {
 public:
  explicit pattern_check(const std::string& pattern) : pattern_(pattern, re2::RE2::Quiet) {
    if (!pattern_.ok()) throw std::invalid_argument(pattern_.error());
  }

 protected:
  std::optional<std::string> fault_of_text(const request& /*asked*/,
                                           std::string_view text) const override {
    if (re2::RE2::PartialMatch(re2::StringPiece(text.data(), text.size()), pattern_))
      return std::nullopt;
    return fmt::format("does not match {}", utf8_prefix(pattern_.pattern(), longest_refusal));
  }
  std::string wanted() const override { return "a text that matches this pattern"; }

 private:
  re2::RE2 pattern_;
};

}  // namespace

std::shared_ptr<const reply_check> expect_json() {
  return std::make_shared<json_check>();
}

std::shared_ptr<const reply_check> expect_schema(std::string_view schema) {
  auto compiled = json_schema::compile(schema);
  if (!compiled) throw std::invalid_argument(compiled.error());
  return std::make_shared<schema_check>(*std::move(compiled));
}

std::shared_ptr<const reply_check> expect_own_schema() {
  return std::make_shared<own_schema_check>();
}

std::shared_ptr<const reply_check> expect_match(const std::string& pattern) {
  return std::make_shared<pattern_check>(pattern);
}

}  // namespace sluice::answers
