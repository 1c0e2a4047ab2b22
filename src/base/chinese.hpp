#pragma once

#include <string_view>

namespace sluice {

/// The texts of the screen in English, and their Chinese translation. They are format strings of
/// fmt; if the Chinese needs the values in another order, it numbers them. Terms: 请求 request,
/// 任务 job, 中转站 relay, 密钥 key, 限速 rate limit, 并发 concurrency, 在途 in flight, 重试 retry,
/// 退避 backoff, 余额 balance, 预算 budget. "token" stays English, because relays call their keys
/// 令牌.
struct translation {
  std::string_view english;
  std::string_view chinese;
};

inline constexpr translation chinese_texts[] = {
    // Times and numbers
    {"{} s", "{} 秒"},
    {"{:.2f} s", "{:.2f} 秒"},
    {"{}m {:02}s", "{}分{:02}秒"},
    {"{}h {:02}m", "{}小时{:02}分"},
    {", ", "，"},

    // The progress line
    {"{} done", "完成 {}"},
    {"{} failed", "失败 {}"},
    {"{} in 60 s", "60 秒内 {}"},
    {"{}/{} in 60 s", "60 秒内 {}/{}"},
    {"{} ({} by other runs)", "{}（其他运行占 {}）"},
    {"{}/{} + {} by others", "{}/{}，其他占 {}"},
    {"{} + {} by others", "{}，其他占 {}"},
    {"{} tok/s", "{} token/秒"},
    {"{} left", "剩 {}"},
    {"{} in flight", "{} 个在途"},

    // What a run waits for: the sentence, and the same in few words
    {"waiting for the limit, next start in {}", "等待限速，{}后发下一个请求"},
    {"limit, next in {}", "限速，{}后下一个"},
    {"starts are spread, next start in {}", "匀速发送，{}后发下一个请求"},
    {"spread, next in {}", "匀速，{}后下一个"},
    {"earlier starts are not on record, next start in {}", "此前的发送没有记录，{}后发下一个请求"},
    {"limit unknown, next in {}", "限速未知，{}后下一个"},
    {"the relay cannot be reached, next try in {}", "连不上中转站，{}后重试"},
    {"unreachable, next try in {}", "连不上，{}后重试"},
    {"until {}", "直到 {}"},
    {"for {}", "还有 {}"},
    {"failures", "多次失败"},
    {"paused by the relay {} (it refused another run)", "中转站要求暂停，{}（它拒绝了另一个运行）"},
    {"paused by the relay {} ({}, it asked for {})", "中转站要求暂停，{}（{}，要求等 {}）"},
    {"paused {} after a refusal ({})", "被拒绝后退避，{}（{}）"},
    {"paused {}", "暂停，{}"},
    {"paused {} ({})", "暂停，{}（{}）"},
    {"{} wait for the budget: one may cost {}, {} is free",
     "{} 个请求在等预算：下一个最多花 {}，可用 {}"},
    {"; max_tokens {} would fit", "；max_tokens 不超过 {} 就够"},
    {"{} wait for the budget", "{} 个在等预算"},
    {"relay in trouble, one at a time", "中转站不稳定，逐个试发"},
    {"relay in trouble", "中转站不稳定"},
    {"{} wait until the relay serves their model again", "{} 个请求在等中转站恢复它们的模型"},
    {"{} wait for their model", "{} 个在等模型"},
    {"all {} places in flight (--concurrency)", "并发已满：{} 个在途（--concurrency）"},
    {"{} in flight, more when answers come faster", "{} 个在途，回复变快后再增加并发"},
    {"{} in flight, slow answers", "{} 个在途，回复慢"},
    {"stopping: {} in flight may finish within {}, Ctrl-C again drops them",
     "正在停止：{} 个在途请求最多再等 {}，再按 Ctrl-C 立即放弃"},
    {"stopping: {} in flight, Ctrl-C drops them", "正在停止：{} 个在途，Ctrl-C 放弃"},
    {"nothing has started for {}", "已有 {}没有发出请求"},

    // The progress of bench and probe
    {"waiting until earlier starts no longer count", "等待此前的请求移出限速窗口"},
    {"looking for the limit: {}", "正在探测限速：{}"},
    {" of {}", "/{}"},
    {"load {}{}, {}: {}", "负载 {}{}，{}：{}"},
    {"load {}{}: {}", "负载 {}{}：{}"},
    {"about {} left", "约剩 {}"},
    {"about {} left of this load", "本负载约剩 {}"},
    {"asking for the balance", "正在查询余额"},
    {"asking for the usage log", "正在查询用量日志"},
    {"{} of {} requests answered", "请求已答复 {}/{}"},

    // The summary at the end of a run
    {"\n{}: {} of {} succeeded, {} failed, {} pending\n",
     "\n{0}：共 {2} 个请求，成功 {1}，失败 {3}，未完成 {4}\n"},
    {"  failed    {} x {}{}\n", "  失败      {} x {}{}\n"},
    {"  tokens    {} prompt ({} cached) + {} completion\n",
     "  token     输入 {}（缓存 {}）+ 输出 {}\n"},
    {"  cache     {}\n", "  缓存      {}\n"},
    {"{} tokens read{}, {} written; {}", "读 {} token{}，写 {}；{}"},
    {" ({:.1f} % of the prompts)", "（占输入 {:.1f} %）"},
    {"what it saved is unknown, because replies have no price", "回复没有价格，节省多少未知"},
    {"writing cost ${} more than reading saved", "写入比读取省下的多花 ${}"},
    {"saved ${}", "节省 ${}"},
    {"  cost      ${}", "  费用      ${}"},
    {", and {} without a price or usage", "，另有 {} 个没有价格或用量"},
    {", of it ${} for {} rejected reply", "，其中 ${} 用于 {} 个不合格的回复"},
    {", of it ${} for {} rejected replies", "，其中 ${} 用于 {} 个不合格的回复"},
    {", and ${} kept of the budget for attempts of unknown outcome and for replaced results",
     "，预算中另为结果未知的尝试和被替换的结果保留 ${}"},
    {"\n  relay     {}: {} replies, {}", "\n  中转站    {}：{} 个回复，{}"},
    {"cost unknown", "费用未知"},
    {"\n  attempts  {}, {} of them retries", "\n  尝试      {} 次，其中重试 {} 次"},
    {"; {} ended without a result and may have been billed", "；{} 次没有结果，可能已计费"},
    {"\n  files     {}\n            {}\n            {}\n",
     "\n  文件      {}\n            {}\n            {}\n"},
    {"time      {}", "用时      {}"},
    {"{} jobs", "{} 个任务"},
    {"{}{}: {} of {} succeeded, {} failed{}, {} pending; cost ${}{}",
     "{0}{1}：共 {3} 个请求，成功 {2}，失败 {4}{5}，未完成 {6}；费用 ${7}{8}"},
    {"{}; ", "{}；"},
    {" ({})", "（{}）"},
    {" and {} without a price", "，另有 {} 个没有价格"},
    {"; see {}", "；详见 {}"},

    // What to type next
    {"next      {}", "下一步    {}"},
    {"correct --model or the job, then {}", "改正 --model 或任务，然后 {}"},
    {"'sluice models' lists what the relay has, and {} is not there; name another in the job, then "
     "{}",
     "'sluice models' 列出中转站有的模型，其中没有 {}；在任务里换一个模型，然后 {}"},
    {"correct the lines that {} names, then {}", "改正 {} 指出的行，然后 {}"},
    {"\n          with {} in the place of {}", "\n          其中的 {1} 依次换成{0}"},
    {", then ", "、"},
    {"the value of {}", " {} 的值"},
    {"the address of --notify", " --notify 的地址"},
    {"the key", "密钥"},

    // The table of a run with --template
    {"table     {}", "表格      {}"},
    {"table     {} is written when every row has its result; what is there now: {}",
     "表格      每一行都有结果后才写 {}；要看现有的结果：{}"},
    {"{}: {} row(s), {} with an answer", "{}：共 {} 行，{} 行有回答"},
    {", {} failed", "，{} 行失败"},
    {", {} without a result", "，{} 行没有结果"},
    {"; the error column says why", "；原因见 error 列"},

    // Why a run stopped
    {"the results are being completed; interrupt again to end at once, and run the same command to "
     "complete them",
     "正在写完结果；再次中断会立即结束，之后运行同一条命令可补全"},
    {"interrupted; what was in flight has ended", "已中断；在途请求已结束"},
    {"interrupted; {} in flight abandoned", "已中断；放弃了 {} 个在途请求"},
    {"stopped: {}; run again to go on", "已停止：{}；重新运行即可继续"},
    {"it is {}, and --until lets nothing start after it", "已到 {}，--until 规定此后不再发出请求"},
    {"the {} of --deadline are over", "--deadline 的 {}已用完"},
    {"stopped: the relay refuses the key ({}); check that the key belongs to this relay and is "
     "still valid ('sluice quota' tells), and run again to go on",
     "已停止：中转站拒绝了密钥（{}）；请确认密钥属于这个中转站且仍然有效（用 'sluice quota' "
     "查看），然后重新运行即可继续"},
    {"stopped: the key's quota is used up ({}); add to it ('sluice quota' shows what is left), and "
     "run again to go on",
     "已停止：密钥的额度已用完（{}）；请充值（用 'sluice quota' "
     "查看剩余额度），然后重新运行即可继续"},
    {"stopped: a gateway in front of the relay blocks this computer ({}); ask the relay which "
     "addresses it accepts, or use another network or a proxy, and run again to go on",
     "已停止：中转站前面的网关拦截了本机（{}）；请向中转站询问允许哪些地址，或换网络、用代理，"
     "然后重新运行即可继续"},
    {"stopped: the address is wrong ({}); --base-url should look like https://relay.example/v1, or "
     "be the whole address of the endpoint with a # behind it",
     "已停止：地址不对（{}）；--base-url 应写成 https://relay.example/v1 的形式，"
     "或写完整的接口地址并在末尾加 #"},
    {"stopped: {}; check the host in --base-url and the clock of this computer, or name the "
     "authority in SSL_CERT_FILE",
     "已停止：无法信任中转站的证书（{}）；请检查 --base-url 的主机名和本机时钟，"
     "或用 SSL_CERT_FILE 指定签发证书的机构"},
    {"stopped: {}; give user and password as in http://user:password@proxy.example:3128",
     "已停止：代理要求登录（{}）；请写上用户名和密码，如 "
     "http://user:password@proxy.example:3128"},
    {"stopped: the budget is used up ({}); raise --budget and run again to go on",
     "已停止：预算已用完（{}）；请加大 --budget，然后重新运行即可继续"},
    {"stopped: the budget is used up: the next request may cost up to {}, and {} is left; raise "
     "--budget{}, and run again to go on",
     "已停止：预算已用完：下一个请求最多花 {}，还剩 {}；请加大 --budget{}，然后重新运行即可继续"},
    {", or limit its reply in the job to max_tokens {} or less",
     "，或在任务里把它的 max_tokens 限制在 {} 以内"},
    {"stopped: no success for as long as --give-up-after allows ({}); run again to go on",
     "已停止：超过 --give-up-after 规定的时间没有一个请求成功（{}）；重新运行即可继续"},
    {"stopped: no connection for as long as --give-up-after allows ({}); check --base-url, set "
     "HTTPS_PROXY if this network needs a proxy, and run again to go on",
     "已停止：超过 --give-up-after 规定的时间连不上（{}）；请检查 --base-url，需要代理的网络请设置 "
     "HTTPS_PROXY，然后重新运行即可继续"},
    {"stopped: {}; nothing was written for them: check --model ('sluice models' lists what the "
     "relay has), the job and --base-url, or send the rest all the same with --keep-going",
     "已停止：请求接连以同样的原因失败（{}）；没有为它们写下结果：请检查 --model（'sluice models' "
     "列出中转站有的模型）、任务和 --base-url，或加 --keep-going 照样发完"},
    {"{}; besides, {}; nothing was written for them: check --model, the job and --base-url",
     "{}；此外，请求接连以同样的原因失败（{}）；没有为它们写下结果：请检查 --model、任务和 "
     "--base-url"},
    {"{}; besides, a model had no upstream for as long as --give-up-after allows ({})",
     "{}；此外，超过 --give-up-after 规定的时间，中转站没有提供某个模型的上游（{}）"},
    {"stopped: a model had no upstream for as long as --give-up-after allows ({}); its requests "
     "stay pending, run again to go on",
     "已停止：超过 --give-up-after 规定的时间，中转站没有提供某个模型的上游（{}）；"
     "它的请求留待下次，重新运行即可继续"},
    {"stopped: the relay asks for a wait of more than a day ({}); ask its operator, or run again "
     "to try",
     "已停止：中转站要求等一天以上（{}）；请联系中转站，或重新运行再试"},
    {"stopped: the relay asks for a longer wait than --max-wait ({}); run again at {}",
     "已停止：中转站要求的等待超过 --max-wait（{}）；请在 {} 重新运行"},

    // Why a command cannot start
    {"{}: {}", "{}：{}"},
    {"{} line {}: names no model{}; give --model, or write the model into the job",
     "{} 第 {} 行：没有写模型{}；请用 --model 指定，或把模型写进任务"},
    {" (nor do {} other lines)", "（另有 {} 行也没有）"},
    {"is empty; a job has one JSON object a line", "是空文件；任务每行是一个 JSON 对象"},
    {"is one JSON list, and a job has one object a line; take it apart, as with: jq -c '.[]' FILE "
     "> NEW.jsonl",
     "是一个 JSON 数组，而任务每行是一个对象；请拆开，例如：jq -c '.[]' FILE > NEW.jsonl"},
    {"is pretty-printed JSON, and a job has each object on one line; put it there, as with: jq -c "
     ". FILE > NEW.jsonl",
     "是带换行缩进的 JSON，而任务的每个对象占一行；请压成一行，例如：jq -c . FILE > NEW.jsonl"},
    {"is {0} text, and a job is UTF-8; convert it, as with: iconv -f {0} -t UTF-8 FILE > NEW.jsonl",
     "是 {0} 编码的文本，而任务要用 UTF-8；请转换，例如：iconv -f {0} -t UTF-8 FILE > NEW.jsonl"},
    {"is a table (CSV), not a job; say in a template what to ask about each row, as in: sluice run "
     "DATA.csv --template T.json -o OUT.csv",
     "是表格（CSV），不是任务；请用模板写明对每一行问什么，例如：sluice run DATA.csv "
     "--template T.json -o OUT.csv"},
    {"is compressed with {0}, and has no name that ends with {1}; rename it, or unpack it on the "
     "way: {0} -dc < FILE | sluice run - -o RESULTS.jsonl",
     "是 {0} 压缩的文件，文件名却不以 {1} 结尾；请改名，或边解压边运行：{0} -dc < FILE | sluice "
     "run - -o RESULTS.jsonl"},
    {"is {}; unpack it, and name the JSONL file in it",
     "是打包或压缩的文件（{}）；请解压，再指定其中的 JSONL 文件"},
    {"is {}, not a job; export it as JSONL, one request a line",
     "不是任务（{}）；请导出为 JSONL，每行一个请求"},
    {"is binary data, not a job; a job has one JSON object a line",
     "是二进制数据，不是任务；任务每行是一个 JSON 对象"},
    {"is HTML or XML, not a job; a job has one JSON object a line",
     "是 HTML 或 XML，不是任务；任务每行是一个 JSON 对象"},
    {"ends its lines with carriage returns alone; convert it, as with: tr '\\r' '\\n' < FILE > "
     "NEW.jsonl",
     "只用回车符换行；请转换，例如：tr '\\r' '\\n' < FILE > NEW.jsonl"},
    {"holds {}, not requests in OpenAI's form; {}", "不是 OpenAI 格式的请求（{}）；{}"},
    {"is a directory; name a JSONL file in it", "是文件夹；请指定其中的一个 JSONL 文件"},
    {"cannot read the job ({}); check the path", "读不了任务文件（{}）；请检查路径"},
    {"there is no job to run; name a JSONL file", "没有要运行的任务；请指定一个 JSONL 文件"},
    {"{}: request \"{}\" has changed since its result was written to {}; undo the change, or "
     "decide with --changed redo (send it again) or --changed keep (let the result stand)",
     "{}：请求“{}”在结果写入 {} 之后改过；请改回来，或用 --changed redo（重新发送）或 --changed "
     "keep（保留旧结果）决定"},
    {"process {}", "进程 {}"},
    {"of another user or on another machine", "属于其他用户或在另一台机器上"},
    {"another run, {}, is writing it; wait for it, or stop it first",
     "另一个运行（{}）正在写它；请等它结束，或先停掉它"},
    {"{}: is not a file that a run has written, and would be overwritten; move it away, or choose "
     "another place with --output-dir or -o",
     "{}：不是 sluice 写的文件，继续会覆盖它；请移走，或用 --output-dir 或 -o 换个位置"},
    {"{}: has {} result(s) that job {} in the store does not have, and that would be lost; choose "
     "another place with --output-dir or -o, or move the file away",
     "{}：其中 {} 个结果是数据库中的任务 {} 没有的，继续会丢失它们；请用 --output-dir 或 -o "
     "换个位置，或把该文件移走"},
    {"{}: results cannot be written there; choose another place with --output-dir or -o",
     "{}：这里写不了结果；请用 --output-dir 或 -o 换个位置"},
    {"{}: there is no {} {}; run the job first, or name the place of its results with --output-dir "
     "or -o",
     "{}：没有{} {}；请先运行任务，或用 --output-dir 或 -o 指明结果的位置"},
    {"{}: is not a regular file; name the JSONL file of a job, or the document of a benchmark",
     "{}：不是普通文件；请给出任务的 JSONL 文件，或基准测试的文档"},
    {"{}: is not a regular file; move it away, and run the job again to write a new one",
     "{}：不是普通文件；请把它移走，再运行任务以写出新的文件"},
    {"totals file", "汇总文件"},
    {"output file", "结果文件"},
    {"--base-url '{}' {}; write it like https://relay.example/v1",
     "--base-url '{}' {}；请写成 https://relay.example/v1 的形式"},
    {"is not a URL", "不是 URL"},
    {"does not begin with http:// or https://", "没有以 http:// 或 https:// 开头"},
    {"contains a user name, which would be shown in messages; remove it",
     "含有用户名，会显示在消息里；请去掉"},
    {"has a fragment (text after #); remove it", "含有 # 后面的部分；请去掉"},
    {"has a query, which is allowed only if the address ends with #",
     "含有查询参数，只有以 # 结尾的地址才可以有"},
    {"has no host", "没有主机名"},
    {"has no valid port (1 to 65535)", "端口不对（1 到 65535）"},
    {"there is no API key; set OPENAI_API_KEY, or name a file with --api-key-file (or rehearse "
     "with --simulate)",
     "没有 API 密钥；请设置 OPENAI_API_KEY，或用 --api-key-file 指定密钥文件（或用 --simulate "
     "演习）"},

    // Why results cannot be written
    {"{}: cannot write results ({}); make room or fix the disk, and run the same command again",
     "{}：写不了结果（{}）；请腾出空间或修好磁盘，再运行同一条命令"},
    {"{}: cannot be written ({}); make room or fix the disk, and run the same command again",
     "{}：写不了（{}）；请腾出空间或修好磁盘，再运行同一条命令"},
    {"{}: cannot record what is sent ({}); make room or fix the disk, and run the same command "
     "again",
     "{}：记录不了发出的请求（{}）；请腾出空间或修好磁盘，再运行同一条命令"},
    {"the records of attempts cannot be written ({}); make room or fix the disk, and run the same "
     "command again",
     "请求记录写不了（{}）；请腾出空间或修好磁盘，再运行同一条命令"},
    {"{}; {}", "{}；{}"},
    {"every finished result is in a file", "完成的结果都已写入文件"},
    {"{}; the disk may lack results that are in the files: put a copy of each file in its place "
     "before you run the command again",
     "{}；文件里的结果可能还不在磁盘上：再次运行命令前，请先把每个文件换成它的副本"},
    {"{} finished result(s) could not be written and are lost; their requests are sent again, and "
     "billed again",
     "{} 个完成的结果没能写入，已丢失；它们的请求会重新发送并再次计费"},

    // The report of a job; its labels form a column
    {"{}: {}: {} of {} succeeded, {} failed, {} pending\n",
     "{0}：{1}：共 {3} 个请求，成功 {2}，失败 {4}，未完成 {5}\n"},
    {"running", "运行中"},
    {"running (process {})", "运行中（进程 {}）"},
    {"running (process {}, since {})", "运行中（进程 {}，开始于 {}）"},
    {"running, as of {} ago", "运行中（{}前的情况）"},
    {"killed {} ago; run the same command to go on", "{}前被强行结束；运行同一条命令即可继续"},
    {"collected so far; 'sluice collect' gets more from the store",
     "已取回目前的结果；再次运行 sluice collect 可从数据库取回更多"},
    {"completed", "已完成"},
    {"stopped", "已停止"},
    {"interrupted", "已中断"},
    {"failed", "失败"},
    {"and {} more kinds", "另有 {} 种"},
    {"tokens", "token"},
    {"{} prompt ({} cached) + {} completion ({} reasoning)",
     "输入 {}（缓存 {}）+ 输出 {}（推理 {}）"},
    {"cache", "缓存"},
    {"cost", "费用"},
    {"${} by the relay's own word", "中转站自报 ${}"},
    {"{} of it for {} replies that were rejected (--expect)",
     "其中 {} 用于 {} 个不合格的回复（--expect）"},
    {"${} kept of the budget for attempts of unknown outcome and for replaced results",
     "预算中为结果未知的尝试和被替换的结果保留 ${}"},
    {"models", "模型"},
    {"relays", "中转站"},
    {"{}: {} succeeded, {} + {} tokens, {}", "{}：成功 {}，{} + {} token，{}"},
    {"ends", "结束原因"},
    {"latency", "延迟"},
    {"ttft", "首字延迟"},
    {"time", "用时"},
    {"attempts", "尝试"},
    {"{}, {} of them retries", "{} 次，其中重试 {} 次"},
    {"; {} at most in any 60 s", "；任意 60 秒内最多 {} 次"},
    {"{} ended without a result and may have been billed", "{} 次没有结果，可能已计费"},
    {"files", "文件"},

    // The end of ask
    {"tokens unknown", "token 数未知"},
    {"{} prompt + {} completion tokens", "输入 {} + 输出 {} token"},
    {"{} prompt + {} completion tokens (counted here)", "输入 {} + 输出 {} token（本机计数）"},
    {"{}: {}, {}, {:.1f} s", "{}：{}，{}，{:.1f} 秒"},
    {"the answer ended with finish reason '{}'", "回答的 finish reason 是 '{}'"},
    {"the answer ended with finish reason '{}'; raise --max-tokens",
     "回答的 finish reason 是 '{}'；请加大 --max-tokens"},
    {"{} earlier attempt(s) broke and may have been billed", "此前有 {} 次尝试中断，可能已计费"},
    {"the answer broke off; it starts again", "回答中断，重新开始"},
    {"; 'sluice models' lists what the relay has", "；'sluice models' 列出中转站有的模型"},
};

}  // namespace sluice
