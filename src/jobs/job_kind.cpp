#include "jobs/job_kind.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <initializer_list>

#include "base/ascii.hpp"
#include "json/text.hpp"

namespace sluice {
namespace {

using namespace std::string_view_literals;

// ---------------------------------------------------------------- bytes that are not text

struct format {
  std::string_view magic;
  std::string_view what;
};

wording unpack(std::string_view what) {
  return worded("is {}; unpack it, and name the JSONL file in it", what);
}

// The first bytes of such files (file(1) uses the same).
constexpr format archives[] = {
    {"BZh"sv, "compressed with bzip2"},
    {"\xFD"
     "7zXZ\0"sv,
     "compressed with xz"},
    {"\x04\x22\x4D\x18"sv, "compressed with lz4"},
    {"PK\x03\x04"sv, "a zip archive"},
    {"7z\xBC\xAF\x27\x1C"sv, "a 7z archive"},
    {"Rar!"sv, "a rar archive"},
};

constexpr format others[] = {
    {"PAR1"sv, "a Parquet file"},
    {"SQLite format 3\0"sv, "a SQLite database"},
    {"%PDF-"sv, "a PDF file"},
};

std::optional<wording> packed(std::string_view start) {
  const auto compressed = [](std::string_view with, std::string_view ending) {
    return worded(
        "is compressed with {0}, and has no name that ends with {1}; rename it, or unpack it on "
        "the way: {0} -dc < FILE | sluice run - -o RESULTS.jsonl",
        with, ending);
  };
  if (start.starts_with("\x1F\x8B"sv)) return compressed("gzip", ".gz");
  if (start.starts_with("\x28\xB5\x2F\xFD"sv)) return compressed("zstd", ".zst");
  for (const auto& [magic, what] : archives) {
    if (start.starts_with(magic)) return unpack(what);
  }
  constexpr std::size_t tar_magic_at = 257;
  if (start.size() > tar_magic_at && start.substr(tar_magic_at).starts_with("ustar"))
    return unpack("a tar archive");
  return std::nullopt;
}

// Recognizes the encoding by its byte order mark, or by the zero bytes in the first two characters,
// which are ASCII.
std::optional<std::string_view> wide_encoding(std::string_view start) {
  const auto is_ascii = [&](std::size_t at) {
    return at < start.size() && start[at] > '\0' && start[at] < '\x7F';
  };
  const auto is_zero = [&](std::size_t at) { return at < start.size() && start[at] == '\0'; };
  if (start.starts_with("\xFF\xFE\0\0"sv) || start.starts_with("\0\0\xFE\xFF"sv)) return "UTF-32";
  if (start.starts_with("\xFF\xFE"sv) || start.starts_with("\xFE\xFF"sv)) return "UTF-16";
  if (is_ascii(0) && is_zero(1)) return is_zero(2) && is_zero(3) ? "UTF-32LE" : "UTF-16LE";
  if (is_zero(0) && is_ascii(1)) return "UTF-16BE";
  if (is_zero(0) && is_zero(1) && is_zero(2) && is_ascii(3)) return "UTF-32BE";
  return std::nullopt;
}

std::optional<wording> no_text(std::string_view start) {
  if (auto what = packed(start)) return what;
  if (const auto encoding = wide_encoding(start)) {
    return worded(
        "is {0} text, and a job is UTF-8; convert it, as with: iconv -f {0} -t UTF-8 FILE > "
        "NEW.jsonl",
        *encoding);
  }
  for (const auto& [magic, what] : others) {
    if (start.starts_with(magic))
      return worded("is {}, not a job; export it as JSONL, one request a line", what);
  }
  constexpr std::size_t looked_at = 4096;
  if (start.substr(0, looked_at).find('\0') != std::string_view::npos)
    return worded("is binary data, not a job; a job has one JSON object a line");
  return std::nullopt;
}

// ---------------------------------------------------------------- text that is not lines of JSON

// The first few lines that are complete and not blank. The last one may lack its line end.
std::vector<std::string_view> first_lines(std::string_view text) {
  constexpr std::size_t enough = 8;
  std::vector<std::string_view> lines;
  while (!text.empty() && lines.size() < enough) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    if (!trimmed(line).empty()) lines.push_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

char first_character(std::string_view text) {
  text = trimmed(text);
  return text.empty() ? '\0' : text.front();
}

// A list of objects or lists, on one line or on several. False if complete lines of objects follow.
bool is_list(const std::vector<std::string_view>& lines) {
  const std::string_view first = trimmed(lines.front());
  if (first.front() != '[') return false;
  const char inside = first.size() > 1   ? first_character(first.substr(1))
                      : lines.size() > 1 ? first_character(lines[1])
                                         : '\0';
  if (inside != '{' && inside != '[') return false;
  if (lines.size() == 1) return true;
  // The next line stands alone if it is complete and no comma or bracket continues it.
  const std::size_t next = first.size() > 1 ? 0 : 1;
  const bool whole = !json_fault((lines[next]));
  const bool alone = lines.size() == next + 1 || first_character(lines[next + 1]) == '{';
  return !(whole && alone);
}

// An object that continues after its first line.
bool is_spread(const std::vector<std::string_view>& lines) {
  const std::string_view first = trimmed(lines.front());
  if (first.front() != '{' || lines.size() < 2) return false;
  const char next = first_character(lines[1]);
  if (next != '"' && next != '}') return false;
  const auto fault = json_fault(first);
  return fault && fault->find("ends too early") != std::string::npos;
}

bool is_column_name(std::string_view cell) {
  constexpr std::size_t longest = 64;
  cell = trimmed(cell);
  if (cell.size() > 1 && cell.front() == '"' && cell.back() == '"')
    cell = cell.substr(1, cell.size() - 2);
  return !cell.empty() && cell.size() <= longest &&
         std::all_of(cell.begin(), cell.end(), [](char c) {
           return static_cast<unsigned char>(c) >= 0x80 || std::isalnum(c) != 0 ||
                  std::string_view("_-. #").find(c) != std::string_view::npos;
         });
}

// Column names between commas, semicolons or tabs, and no line of JSON after them.
bool is_table(const std::vector<std::string_view>& lines) {
  if (lines.size() > 1 && (first_character(lines[1]) == '{' || first_character(lines[1]) == '['))
    return false;
  for (const char separator : {',', ';', '\t'}) {
    std::string_view rest = lines.front();
    std::size_t names = 0;
    for (;;) {
      const std::size_t end = rest.find(separator);
      if (!is_column_name(rest.substr(0, end))) break;
      ++names;
      if (end == std::string_view::npos) return names > 1;
      rest.remove_prefix(end + 1);
    }
  }
  return false;
}

// https://docs.anthropic.com/en/api/creating-message-batches
constexpr foreign_form anthropic = {
    "a line of Anthropic's Message Batches", "lines of Anthropic's Message Batches",
    "write params as the body of an OpenAI Batch line: "
    R"({"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{…}})"};
// https://docs.aws.amazon.com/bedrock/latest/userguide/batch-inference-data.html
constexpr foreign_form bedrock = {
    "a line of Amazon Bedrock's batch inference", "lines of Amazon Bedrock's batch inference",
    "write recordId as custom_id, and what modelInput says as a body with its model: "
    R"({"custom_id":"a","url":"/v1/chat/completions","body":{"model":"…","messages":[…]}})"};
// https://ai.google.dev/gemini-api/docs/batch-api
constexpr foreign_form gemini = {
    "a line of Gemini's Batch API", "lines of Gemini's Batch API",
    "write key as custom_id, and contents as the messages of a body with its model: "
    R"({"custom_id":"a","url":"/v1/chat/completions","body":{"model":"…","messages":[…]}})"};
constexpr foreign_form list_inside = {
    "an object with a list of requests", "an object with a list of requests",
    "a job has one request a line; take them out, as with: jq -c '.requests[]' FILE > NEW.jsonl"};
constexpr foreign_form results = {"the result of a batch", "the results of a batch",
                                  "name the job that they were made from"};

// Objects on one line that are separated by the line ends of old Macs.
bool has_old_line_ends(std::string_view line) {
  const std::size_t end = line.find('\r');
  if (end == std::string_view::npos || first_character(line) != '{') return false;
  return first_character(line.substr(end)) == '{' && !json_fault(line.substr(0, end));
}

}  // namespace

const foreign_form* foreign_line(const json_object& line) {
  for (const std::string_view ours : {"body", "url", "method", "messages", "prompt", "input"}) {
    if (line.has(ours)) return nullptr;
  }
  if (line.object("params").is_object()) return &anthropic;
  if (line.has("recordId") || line.has("modelInput")) return &bedrock;
  if (line.has("contents") || line.object("request").is_object()) return &gemini;
  if (line.value("requests").starts_with('[')) return &list_inside;
  return line.has("custom_id") && line.has("response") ? &results : nullptr;
}

std::optional<wording> foreign_file(std::string_view start) {
  if (auto what = no_text(start)) return what;
  const auto lines = first_lines(start);
  if (lines.empty()) return std::nullopt;
  if (is_list(lines)) {
    return worded(
        "is one JSON list, and a job has one object a line; take it apart, as with: jq -c '.[]' "
        "FILE > NEW.jsonl");
  }
  if (is_spread(lines)) {
    return worded(
        "is pretty-printed JSON, and a job has each object on one line; put it there, as with: "
        "jq -c . FILE > NEW.jsonl");
  }
  if (has_old_line_ends(lines.front())) {
    return worded(
        "ends its lines with carriage returns alone; convert it, as with: tr '\\r' '\\n' < FILE "
        "> NEW.jsonl");
  }
  if (trimmed(lines.front()).starts_with('<')) {
    return worded("is HTML or XML, not a job; a job has one JSON object a line");
  }
  if (is_table(lines)) {
    return worded(
        "is a table (CSV), not a job; say in a template what to ask about each row, as in: "
        "sluice run DATA.csv --template T.json -o OUT.csv");
  }
  const foreign_form* form = nullptr;
  for (const std::string_view line : lines) {
    // If the text is long, its last line may be incomplete.
    if (line.end() == start.end() && lines.size() > 1 && json_fault(line)) break;
    const foreign_form* told = foreign_line(json_object::parse(line));
    if (told == nullptr || (form != nullptr && form != told)) return std::nullopt;
    form = told;
  }
  if (form == nullptr) return std::nullopt;
  return worded("holds {}, not requests in OpenAI's form; {}", form->lines, form->advice);
}

}  // namespace sluice
