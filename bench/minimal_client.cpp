// The least work that a client can do for a job: the bound for `bench/end_to_end.py`. It reads the
// job line by line, notes each request in a file before it is sent, checks the JSON of each reply,
// adds up the tokens, and writes a result line, synced each second. It has one thread and one epoll
// loop, and handles no error: any surprise ends it.
//
// It has none of the rest of `sluice run`: limit, retries, budget, prices, timeouts, TLS, proxies,
// names of hosts, secrets in replies, resume, progress, or servers that frame their replies in
// other ways.

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <simdjson.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace {

constexpr std::size_t read_size = std::size_t{64} * 1024;
constexpr std::size_t write_size = std::size_t{64} * 1024;

int checked(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

void write_whole(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(file, bytes.data(), bytes.size());
    if (n < 0) throw std::system_error(errno, std::generic_category(), "write");
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

// What is written into the state file before a request is sent.
struct start_record {
  std::uint64_t line;
  std::int64_t started_ns;
};

struct connection {
  int socket = -1;
  std::string id;       // of the current request
  std::string request;  // head and body
  std::string content;  // of a stream
  // The reply, as far as it has arrived; the padding behind it is for simdjson.
  std::vector<char> buffer = std::vector<char>(read_size + simdjson::SIMDJSON_PADDING);
  std::size_t filled = 0;
  std::size_t parsed = 0;
  bool head_arrived = false;

  std::string_view received() const { return {buffer.data(), filled}; }
};

struct totals {
  std::uint64_t replies = 0;
  std::uint64_t chunks = 0;
  std::uint64_t prompt_tokens = 0;
  std::uint64_t completion_tokens = 0;
};

class client {
 public:
  client(const std::string& job, const std::string& out, std::uint16_t port, bool streams,
         bool only_splits)
      : job_(job), port_(port), streams_(streams), only_splits_(only_splits) {
    constexpr int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
    if (!job_) throw std::runtime_error("cannot open " + job);
    output_ = checked(::open(out.c_str(), flags, 0644), "open");
    state_ = checked(::open((out + ".state").c_str(), flags, 0644), "open");
    events_ = checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    head_ = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(port) +
            "\r\nAuthorization: Bearer bench\r\nContent-Type: application/json\r\nContent-Length: ";
  }
  ~client() {
    for (const connection& each : connections_) ::close(each.socket);
    ::close(events_);
    ::close(state_);
    ::close(output_);
  }
  client(const client&) = delete;
  client& operator=(const client&) = delete;

  totals run(std::size_t connections) {
    connections_.resize(connections);
    for (connection& each : connections_) connect(each);
    for (connection& each : connections_) begin_next(each);
    send_begun();
    std::array<epoll_event, 256> happened{};
    auto synced = std::chrono::steady_clock::now();
    while (in_flight_ > 0) {
      const int count =
          checked(::epoll_wait(events_, happened.data(), happened.size(), 1000), "epoll_wait");
      for (int i = 0; i < count; ++i) {
        read(*static_cast<connection*>(happened[static_cast<std::size_t>(i)].data.ptr));
      }
      send_begun();
      if (results_.size() >= write_size) flush();
      const auto now = std::chrono::steady_clock::now();
      if (now - synced < std::chrono::seconds(1)) continue;
      synced = now;
      flush();
      checked(::fdatasync(output_), "fdatasync");
    }
    flush();
    checked(::fdatasync(output_), "fdatasync");
    return sums_;
  }

 private:
  void connect(connection& each) {
    each.socket = checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    checked(::connect(each.socket, reinterpret_cast<const sockaddr*>(&address), sizeof address),
            "connect");
    constexpr int on = 1;
    checked(::setsockopt(each.socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "setsockopt");
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = &each;
    checked(::epoll_ctl(events_, EPOLL_CTL_ADD, each.socket, &event), "epoll_ctl");
  }

  // Reads the next line of the job and prepares its request.
  void begin_next(connection& each) {
    if (!std::getline(job_, line_)) return;
    auto document = line_parser_.iterate(line_.data(), line_.size(), padded(line_));
    each.id = std::string_view(document["custom_id"]);
    simdjson::ondemand::object asked = document["body"];
    const std::string_view body = asked.raw_json();
    each.request.assign(head_).append(std::to_string(body.size())).append("\r\n\r\n").append(body);
    each.content.clear();
    ++in_flight_;
    begun_.push_back(&each);
    records_.push_back({lines_++, std::chrono::steady_clock::now().time_since_epoch().count()});
  }

  // Notes the requests that were prepared in this turn of the loop, and sends them.
  void send_begun() {
    if (begun_.empty()) return;
    write_whole(state_, {reinterpret_cast<const char*>(records_.data()),
                         records_.size() * sizeof(start_record)});
    for (const connection* each : begun_) {
      const ssize_t n =
          ::send(each->socket, each->request.data(), each->request.size(), MSG_NOSIGNAL);
      if (n != static_cast<ssize_t>(each->request.size()))
        throw std::runtime_error("a request was not sent whole");
    }
    records_.clear();
    begun_.clear();
  }

  void read(connection& each) {
    if (each.filled + read_size + simdjson::SIMDJSON_PADDING > each.buffer.size()) {
      each.buffer.resize(each.filled + read_size + simdjson::SIMDJSON_PADDING);
    }
    const ssize_t n = ::recv(each.socket, each.buffer.data() + each.filled, read_size, 0);
    if (n <= 0) throw std::runtime_error("a connection ended");
    each.filled += static_cast<std::size_t>(n);
    const bool whole = streams_ ? read_stream(each) : read_reply(each);
    if (!whole) return;
    each.filled = each.parsed = 0;
    each.head_arrived = false;
    --in_flight_;
    begin_next(each);
  }

  // Returns the end of the head, or npos if it has not arrived.
  static std::size_t end_of_head(const connection& each) {
    const std::size_t end = each.received().find("\r\n\r\n");
    if (end == std::string::npos) return end;
    if (!each.received().starts_with("HTTP/1.1 200"))
      throw std::runtime_error("a reply is not 200");
    return end + 4;
  }

  static std::size_t length_of(std::string_view head) {
    constexpr std::string_view name = "content-length: ";
    for (std::size_t at = head.find("\r\n"); at != std::string_view::npos;
         at = head.find("\r\n", at + 2)) {
      const std::string_view field = head.substr(at + 2);
      if (field.size() < name.size() || ::strncasecmp(field.data(), name.data(), name.size()) != 0)
        continue;
      std::size_t length = 0;
      std::from_chars(field.data() + name.size(), field.data() + field.size(), length);
      return length;
    }
    throw std::runtime_error("a reply has no length");
  }

  bool read_reply(connection& each) {
    const std::size_t begin = end_of_head(each);
    if (begin == std::string::npos) return false;
    const std::size_t length = length_of(each.received().substr(0, begin));
    if (each.filled < begin + length) return false;
    const std::string_view body = each.received().substr(begin, length);
    const simdjson::dom::element reply = reply_parser_.parse(body.data(), body.size(), false);
    const std::string_view text = reply["choices"].at(0)["message"]["content"];
    if (text.empty()) throw std::runtime_error("a reply is empty");
    add_usage(reply["usage"]);
    write_result(each, body);
    return true;
  }

  // Reads the chunks that have arrived whole. Each chunk of the simulator holds whole events.
  bool read_stream(connection& each) {
    if (!each.head_arrived) {
      each.parsed = end_of_head(each);
      if (each.parsed == std::string::npos) return false;
      each.head_arrived = true;
    }
    for (;;) {
      const std::string_view rest = each.received().substr(each.parsed);
      const std::size_t line = rest.find("\r\n");
      if (line == std::string_view::npos) return false;
      std::size_t size = 0;
      std::from_chars(rest.data(), rest.data() + line, size, 16);
      if (rest.size() < line + 2 + size + 2) return false;
      each.parsed += line + 2 + size + 2;
      if (size == 0) break;
      read_events(each, rest.substr(line + 2, size));
    }
    std::string body = R"({"choices":[{"message":{"role":"assistant","content":")";
    append_escaped(body, each.content);
    body.append(R"("}}]})");
    write_result(each, body);
    return true;
  }

  void read_events(connection& each, std::string_view events) {
    constexpr std::string_view field = "data: ";
    while (!events.empty()) {
      const std::size_t end = events.find('\n');
      std::string_view line = events.substr(0, end);
      events.remove_prefix(end == std::string_view::npos ? events.size() : end + 1);
      if (!line.starts_with(field) || line.ends_with("[DONE]")) continue;
      line.remove_prefix(field.size());
      ++sums_.chunks;
      if (only_splits_) continue;
      // Behind the line are more bytes of the reply, or the padding of the buffer.
      const simdjson::dom::element event = reply_parser_.parse(line.data(), line.size(), false);
      for (const simdjson::dom::element choice : event["choices"].get_array()) {
        std::string_view piece;
        if (choice["delta"]["content"].get(piece) == simdjson::SUCCESS) each.content.append(piece);
      }
      simdjson::dom::element usage;
      if (event["usage"].get(usage) == simdjson::SUCCESS && usage.is_object()) add_usage(usage);
    }
  }

  void add_usage(simdjson::dom::element usage) {
    sums_.prompt_tokens += usage["prompt_tokens"].get_uint64();
    sums_.completion_tokens += usage["completion_tokens"].get_uint64();
  }

  static void append_escaped(std::string& to, std::string_view text) {
    for (const char byte : text) {
      if (byte == '"' || byte == '\\') to += '\\';
      if (static_cast<unsigned char>(byte) >= ' ') {
        to += byte;
      } else {
        constexpr std::string_view digits = "0123456789abcdef";
        to.append("\\u00") += byte < 16 ? '0' : '1';
        to += digits[static_cast<std::size_t>(byte % 16)];
      }
    }
  }

  void write_result(const connection& each, std::string_view body) {
    ++sums_.replies;
    results_.append(R"({"id":"batch_req_)")
        .append(std::to_string(sums_.replies))
        .append(R"(","custom_id":")");
    results_.append(each.id).append(R"(","response":{"status_code":200,"body":)").append(body);
    results_.append(R"(},"error":null})").push_back('\n');
  }

  void flush() {
    write_whole(output_, results_);
    results_.clear();
  }

  static std::size_t padded(std::string& text) {
    text.reserve(text.size() + simdjson::SIMDJSON_PADDING);
    return text.capacity();
  }

  std::ifstream job_;
  const std::uint16_t port_;
  const bool streams_;
  const bool only_splits_;
  int output_ = -1;
  int state_ = -1;
  int events_ = -1;
  std::string head_;
  std::string line_;
  std::vector<connection> connections_;
  std::vector<connection*> begun_;
  std::vector<start_record> records_;
  std::string results_;
  std::uint64_t lines_ = 0;
  std::size_t in_flight_ = 0;
  totals sums_;
  simdjson::ondemand::parser line_parser_;  // gives the body of a request as it stands in the line
  simdjson::dom::parser reply_parser_;
};

}  // namespace

int main(int argc, char** argv) {
  std::string job;
  std::string out;
  std::uint16_t port = 0;
  std::size_t connections = 64;
  bool streams = false;
  bool only_splits = false;
  CLI::App app("The least work that a client can do for a job: a bound for bench/end_to_end.py");
  app.add_option("job", job)->required();
  app.add_option("--port", port, "of `sluice simulate` on this machine")->required();
  app.add_option("--output", out)->required();
  app.add_option("--connections", connections);
  app.add_flag("--stream", streams, "the job asks for streams");
  app.add_flag("--split", only_splits, "with --stream: only split the replies into lines");
  CLI11_PARSE(app, argc, argv);
  try {
    const totals sums = client(job, out, port, streams, only_splits).run(connections);
    std::cout << sums.replies << " replies, " << sums.chunks << " chunks, " << sums.prompt_tokens
              << " + " << sums.completion_tokens << " tokens\n";
  } catch (const std::exception& fault) {
    std::cerr << "minimal_client: " << fault.what() << '\n';
    return 1;
  }
  return 0;
}
