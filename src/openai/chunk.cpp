#include "openai/chunk.hpp"

#include <algorithm>
#include <bit>
#include <charconv>

#include "json/text.hpp"

namespace sluice::openai {

namespace ondemand = simdjson::ondemand;
namespace dom = simdjson::dom;

namespace {

// simdjson 3 looks at the byte behind the text, and compares the numbers of opening and closing
// brackets only if it is a closing one.
constexpr char count_brackets = '}';
constexpr char skip_count = ' ';

/// Whether the value contains any information: a non-blank string, a number other than 0, or true.
/// Objects and arrays are searched.
bool says_anything(dom::element value) {
  switch (value.type()) {
    case dom::element_type::OBJECT: {
      const dom::object members = value.get_object().value();
      return std::any_of(members.begin(), members.end(),
                         [](const auto& member) { return says_anything(member.value); });
    }
    case dom::element_type::ARRAY: {
      const dom::array elements = value.get_array().value();
      return std::any_of(elements.begin(), elements.end(), says_anything);
    }
    case dom::element_type::STRING:
      return value.get_string().value().find_first_not_of(" \t\r\n") != std::string_view::npos;
    case dom::element_type::BOOL:
      return value.get_bool().value();
    case dom::element_type::NULL_VALUE:
      return false;
    default:
      return value.get_double().value() != 0;
  }
}

}  // namespace

ondemand::object chunk_reader::object(std::string_view text) {
  load(text, count_brackets);
  auto document = parser_.iterate(padded_.data(), text.size(), padded_.size());
  if (document.error() == simdjson::UTF8_ERROR) {
    const std::string repaired = valid_utf8(std::string(text));
    load(repaired, count_brackets);
    document = parser_.iterate(padded_.data(), repaired.size(), padded_.size());
  }
  document_ = std::move(document).value();
  return document_.get_object();
}

ondemand::object chunk_reader::checked_object(std::string_view text) {
  load(text, skip_count);
  document_ = parser_.iterate(padded_.data(), text.size(), padded_.size()).value();
  return document_.get_object();
}

void chunk_reader::expect_end() {
  if (document_.current_location().error() != simdjson::OUT_OF_BOUNDS) {
    throw simdjson::simdjson_error(simdjson::TAPE_ERROR);
  }
}

void chunk_reader::let_go() {
  constexpr std::size_t large = std::size_t{1} << 20;
  if (padded_.size() <= large) return;
  document_ = ondemand::document();
  parser_ = ondemand::parser();
  std::string().swap(padded_);
  size_ = 0;
}

std::size_t chunk_reader::held() const noexcept {
  constexpr std::size_t with_index = 4;  // the parser's token index, in addition to the text itself
  return padded_.size() * with_index;
}

/// Copies the text into the padded buffer. The buffer grows by doubling, since each chunk of a
/// stream may be a little longer than the one before.
void chunk_reader::load(std::string_view text, char behind) {
  const std::size_t needed = text.size() + simdjson::SIMDJSON_PADDING;
  if (padded_.size() < needed) {
    padded_.resize(std::bit_ceil(needed));
    if (const auto error = parser_.allocate(padded_.size())) throw simdjson::simdjson_error(error);
  }
  size_ = text.size();
  text.copy(padded_.data(), text.size());  // not memcpy: the view may be empty with a null pointer
  padded_[text.size()] = behind;
}

std::string_view raw_json(ondemand::value& value) {
  return simdjson::to_json_string(value).value();
}

std::string_view inside_quotes(std::string_view raw) {
  if (raw.size() < 2 || raw.front() != '"' || raw.back() != '"') {
    throw simdjson::simdjson_error(simdjson::STRING_ERROR);
  }
  return raw.substr(1, raw.size() - 2);
}

bool is_truthy(std::string_view raw) {
  if (raw.starts_with('{') || raw.starts_with('[')) {
    return raw.find_first_not_of(" \t\r\n", 1) != raw.size() - 1;
  }
  return raw != "null" && raw != "false" && raw != "\"\"" && raw != "0";
}

bool says_error(std::string_view raw) {
  if (!is_truthy(raw)) return false;
  dom::parser parser;
  dom::element value;
  if (parser.parse(raw.data(), raw.size()).get(value) != simdjson::SUCCESS) return true;
  return says_anything(value);
}

std::optional<std::int64_t> whole_number(std::string_view raw) {
  if (raw.starts_with('"')) raw = inside_quotes(raw);
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(raw.data(), raw.data() + raw.size(), number);
  if (error != std::errc()) return std::nullopt;
  raw.remove_prefix(static_cast<std::size_t>(end - raw.data()));
  const bool whole = raw.empty() || (raw.size() > 1 && raw.front() == '.' &&
                                     raw.find_first_not_of('0', 1) == std::string_view::npos);
  return whole ? std::optional(number) : std::nullopt;
}

void check_depth(std::size_t depth) {
  if (depth > deepest_body) throw simdjson::simdjson_error(simdjson::DEPTH_ERROR);
}

bool is_string(ondemand::value& value) {
  return value.type() == ondemand::json_type::string;
}
bool is_null(ondemand::value& value) {
  return value.type() == ondemand::json_type::null;
}

}  // namespace sluice::openai
