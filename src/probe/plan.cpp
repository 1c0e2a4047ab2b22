#include "probe/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <random>
#include <span>
#include <string_view>
#include <utility>

#include "base/hash.hpp"
#include "json/text.hpp"
#include "probe/questions.hpp"

namespace sluice::probe {
namespace {

using nlohmann::ordered_json;

// In these languages the token counts of the vocabularies differ by half or more. In English they
// are almost equal.
constexpr std::array<std::string_view, 24> phrases{"人工智能正在改变我们的生活",
                                                   "春天的山谷里开满了野花",
                                                   "他每天早上都去河边散步",
                                                   "这座城市的历史非常悠久",
                                                   "学生们正在讨论新的方法",
                                                   "明天可能会下一场大雨",
                                                   "图书馆里收藏着古老的地图",
                                                   "邻居家的猫喜欢晒太阳",
                                                   "नमस्ते दुनिया",
                                                   "आज मौसम बहुत अच्छा है",
                                                   "वह किताब पढ़ रही है",
                                                   "नदी के किनारे एक गाँव है",
                                                   "สวัสดีชาวโลก",
                                                   "วันนี้อากาศดีมาก",
                                                   "เธอกำลังอ่านหนังสือ",
                                                   "แม่น้ำไหลผ่านหมู่บ้าน",
                                                   "نحن نتعلم اللغة العربية",
                                                   "الطقس جميل هذا اليوم",
                                                   "오늘은 날씨가 아주 좋습니다",
                                                   "우리는 강가를 걷고 있었다",
                                                   "彼女は毎朝公園を走ります",
                                                   "古い時計台が町の中心にある",
                                                   "Сегодня прекрасная погода",
                                                   "Мы гуляли вдоль широкой реки"};

constexpr std::array<std::string_view, 12> topics{"一条河", "一座老桥", "冬天的早晨", "海边的灯塔",
                                                  "茶叶",   "一次旅行", "图书馆",     "月亮",
                                                  "火车",   "雨后的街", "竹林",       "一位木匠"};

struct sizes {
  std::int64_t short_prompt;
  std::int64_t long_prompt;
  std::int64_t cut_answer;
  std::int64_t streamed_answer;
  std::int64_t thoughts;  // extra tokens for the reasoning of a model that reasons
};
constexpr sizes usual_sizes{20, 48, 24, 48, 0};
constexpr sizes reasoning_sizes{20, 48, 256, 256, 256};

constexpr std::int64_t sentence = 48;  // maximum tokens of an answer to a question
constexpr std::int64_t framing = 16;   // tokens around a message, with some reserve

constexpr std::size_t most_mixture_samples = 40;
constexpr std::size_t question_runs = 3;
constexpr int cache_samples = 3;
// used for texts of a model with another vocabulary
constexpr auto nearest = vocabulary::o200k_base;

class planner {
 public:
  planner(const claim& sold, usd budget, std::uint64_t seed)
      : sold_(sold),
        size_(sold.reasons ? reasoning_sizes : usual_sizes),
        budget_(budget),
        random_(seed),
        counter_(sold.tokens ? tokenizer::of(*sold.tokens) : nullptr) {}

  plan make() {
    for (std::size_t i = 0; i < 6; ++i) count_prompt(i);
    exceed_limit();
    for (int i = 0; i < 2; ++i) {
      stream();
      if (!sold_.reasons) cut_answer();
      if (!sold_.reasons) ask_for_logprobs();
    }
    force_tool();
    if (has_schemas()) follow_schema();
    if (!sold_.reasons) two_choices();
    if (!sold_.reasons) stop_at_word();
    for (std::size_t i = 0; i < most_mixture_samples && count_prompt(i); ++i) {
    }
    const auto cached = repeat_opening();
    // The questions distinguish GPT-3.5 from stronger models, so they are useless for GPT-3.5
    // itself.
    const std::size_t runs = sold_.model.find("gpt-3.5") == std::string::npos ? question_runs : 0;
    for (std::size_t run = 0; run < runs; ++run) {
      for (const auto& one : questions()) ask(one);
    }
    plan_.cache_begin = plan_.samples.size();
    plan_.samples.insert(plan_.samples.end(), cached.begin(), cached.end());
    return std::move(plan_);
  }

 private:
  template <class Words>
  std::string_view one_of(const Words& words) {
    return words[random_() % std::size(words)];
  }

  std::int64_t count(std::string_view text) const {
    const auto tokens = counter_ == nullptr ? std::nullopt : counter_->count(text);
    return static_cast<std::int64_t>(tokens.value_or(text.size()));
  }

  std::string text_of(std::int64_t tokens) {
    std::string text;
    while (text.empty() || count(text) < tokens) {
      if (!text.empty()) text += random_() % 2 == 0 ? "。" : " ";
      text += one_of(phrases);
    }
    return text;
  }

  bool has_schemas() const {
    return sold_.tokens == vocabulary::o200k_base && !sold_.model.starts_with("gpt-4o-2024-05-13");
  }

  ordered_json body_of(std::string_view prompt, std::int64_t most_tokens) const {
    ordered_json body{{"model", sold_.model},
                      {"messages", ordered_json::array({{{"role", "user"}, {"content", prompt}}})}};
    body[sold_.reasons ? "max_completion_tokens" : "max_tokens"] = most_tokens;
    if (!sold_.reasons) body["temperature"] = 0;
    return body;
  }

  static sample of(purpose why, std::string_view prompt, std::int64_t most_tokens,
                   std::string_view detail = {}) {
    sample made;
    made.why = why;
    made.prompt = prompt;
    made.most_tokens = most_tokens;
    made.detail = detail;
    made.streamed = why == purpose::stream;
    return made;
  }

  // False if the rest of the budget is too small.
  bool add(sample made, const ordered_json& body) {
    complete(made, body);
    if (budget_ < plan_.at_most + made.most) return false;
    plan_.at_most += made.most;
    plan_.samples.push_back(std::move(made));
    return true;
  }

  // Sets the body and the highest cost.
  void complete(sample& made, const ordered_json& body) const {
    made.body = json_line(body);
    const std::int64_t definitions =
        static_cast<std::int64_t>(made.body.size() - made.prompt.size()) / 2;
    made.most = token_bound_cost(
        count(made.prompt) + framing +
            (body.contains("tools") || body.contains("response_format") ? definitions : 0),
        made.answers() * made.most_tokens);
  }

  usd token_bound_cost(std::int64_t prompt, std::int64_t completion) const {
    return sold_.highest.prompt * prompt + sold_.highest.completion * completion;
  }

  bool count_prompt(std::size_t number) {
    const auto text = text_of(number % 2 == 0 ? size_.short_prompt : size_.long_prompt);
    const std::int64_t answer = sold_.reasons ? 16 : 1;
    return add(of(purpose::prompt_tokens, text, answer), body_of(text, answer));
  }

  std::string essay() {
    return fmt::format("请用中文写一篇关于{}的短文，至少三百字。第{}篇。", one_of(topics),
                       random_() % 1000);
  }

  void cut_answer() {
    const auto text = essay();
    add(of(purpose::max_tokens, text, size_.cut_answer), body_of(text, size_.cut_answer));
  }

  void stream() {
    const auto text = essay();
    ordered_json body = body_of(text, size_.streamed_answer);
    body["stream"] = true;
    body["stream_options"] = {{"include_usage", true}};
    add(of(purpose::stream, text, size_.streamed_answer), body);
  }

  void ask_for_logprobs() {
    const auto text = essay();
    ordered_json body = body_of(text, size_.cut_answer);
    body["logprobs"] = true;
    body["top_logprobs"] = 5;
    add(of(purpose::logprobs, text, size_.cut_answer), body);
  }

  void two_choices() {
    const auto text = fmt::format("Name a river. Try number {}.", random_() % 1000);
    ordered_json body = body_of(text, 8);
    body["n"] = 2;
    add(of(purpose::choices, text, 8), body);
  }

  void stop_at_word() {
    const std::string text =
        "Write the numbers from one to twenty as English words, separated by spaces.";
    ordered_json body = body_of(text, sentence);
    body["stop"] = {" seven", "seven"};
    add(of(purpose::stop, text, sentence, "seven"), body);
  }

  void force_tool() {
    const std::string text = "What is the weather in Lisbon?";
    const std::int64_t most = sentence + size_.thoughts;
    ordered_json body = body_of(text, most);
    body["tools"] = ordered_json::array({{{"type", "function"},
                                          {"function",
                                           {{"name", "get_weather"},
                                            {"parameters",
                                             {{"type", "object"},
                                              {"properties", {{"city", {{"type", "string"}}}}},
                                              {"required", ordered_json::array({"city"})}}}}}}});
    body["tool_choice"] = {{"type", "function"}, {"function", {{"name", "get_weather"}}}};
    add(of(purpose::forced_tool, text, most, "get_weather"), body);
  }

  void follow_schema() {
    const std::string text = "Give the name of a planet and its place from the sun.";
    const std::int64_t most = sentence + size_.thoughts;
    ordered_json body = body_of(text, most);
    body["response_format"] = {
        {"type", "json_schema"},
        {"json_schema",
         {{"name", "planet"},
          {"strict", true},
          {"schema",
           {{"type", "object"},
            {"properties", {{"name", {{"type", "string"}}}, {"place", {{"type", "integer"}}}}},
            {"required", ordered_json::array({"name", "place"})},
            {"additionalProperties", false}}}}}};
    add(of(purpose::json_schema, text, most), body);
  }

  // Adds a request for more tokens than the model allows. A correct relay refuses it free of
  // charge. It is planned only if the budget could pay for the longest answer.
  void exceed_limit() {
    if (!sold_.context_limit || sold_.reasons) return;
    // If the model has an output limit, it is enough to exceed that limit. The first GPT-4 has
    // none.
    const bool own_limit = sold_.output_limit && *sold_.context_limit > 8192;
    const std::int64_t too_many = 1 + (own_limit ? *sold_.output_limit : *sold_.context_limit);
    const std::string text = "Say yes.";
    add(of(purpose::context_limit, text, too_many), body_of(text, too_many));
  }

  // A text that is long enough for prompt caching, which begins at 1,024 tokens.
  std::string long_text() {
    constexpr std::uint64_t enough = 1280;
    constexpr std::uint64_t enough_by_estimate = 1536;  // an unknown vocabulary may need fewer
    constexpr std::uint64_t bytes_per_token = 3;        // for a model without a known vocabulary
    const auto* const counter = counter_ != nullptr ? counter_ : tokenizer::of(nearest);
    std::string text;
    std::uint64_t tokens = 0;
    while (tokens < (counter_ != nullptr ? enough : enough_by_estimate)) {
      const std::string line = text_of(size_.long_prompt) + "\n";
      const auto counted = counter == nullptr ? std::nullopt : counter->count(line);
      tokens += counted.value_or(line.size() / bytes_per_token);
      text += line;
    }
    return text;
  }

  // Prompts with the same long beginning: all of them, or none if they cost too much.
  std::vector<sample> repeat_opening() {
    const token_rates& rates = sold_.price.standard.base;
    const auto& cached = rates[token_kind::cached_input];
    if (!cached || cached == rates[token_kind::input]) {
      plan_.why_no_cache = fmt::format(
          "the price of {} has no discount for tokens that are read from a cache", sold_.model);
      return {};
    }
    const auto opening = long_text();
    std::vector<sample> made;
    usd most;
    for (int number = 1; number <= cache_samples; ++number) {
      const auto text = fmt::format("{}\n{}: 请只回答“好”。", opening, number);
      const std::int64_t answer = sold_.reasons ? 16 : 1;
      sample one = of(purpose::cache, text, answer);
      complete(one, body_of(text, answer));
      most += one.most;
      made.push_back(std::move(one));
    }
    if (budget_ < plan_.at_most + most) {
      usd left = budget_;
      left -= plan_.at_most;
      plan_.why_no_cache = fmt::format(
          "its {} long prompts could cost ${}, but the other requests leave ${}; a larger --budget "
          "allows them",
          cache_samples, most.to_string(), left.to_string());
      return {};
    }
    plan_.at_most += most;
    return made;
  }

  void ask(const question& one) {
    const std::string text(one.text);
    const std::int64_t most = sentence + size_.thoughts;
    add(of(purpose::question, text, most, std::string(one.name)), body_of(text, most));
  }

  const claim& sold_;
  const sizes& size_;
  usd budget_;
  std::mt19937_64 random_;
  const tokenizer* counter_;
  plan plan_;
};

}  // namespace

request sample::to_request(const std::string& model, std::uint64_t number) const {
  request made;
  made.line = number;
  made.custom_id = fmt::format("probe-{}", number);
  made.target = endpoint::chat_completions;
  made.model = model;
  made.body = body;
  made.digest = digest_of(to_string(made.target), body);
  made.choices = answers();
  made.streamed = streamed;
  made.most = most;
  return made;
}

plan make_plan(const claim& sold, usd budget, std::uint64_t seed) {
  return planner(sold, budget, seed).make();
}

}  // namespace sluice::probe
