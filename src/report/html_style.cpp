#include "report/markup.h"

namespace thinkrec::html {

const char* style() {
  return R"css(
:root{--bg:#f6f7f9;--card:#fff;--ink:#1b2330;--soft:#566173;--line:#e1e5eb;--grid:#e9ecf1;--tint:#eaf2ff;--good:#117a4e;--good-bg:#e6f6ee;
--bad:#b3361f;--bad-bg:#fdeeea;--c0:#2563c9;--c1:#d97706;--c2:#0f8b6d;--c3:#b8418f;--c4:#7356d8;--c5:#64748b;--c6:#a3840b;--c7:#0e87a8}
@media (prefers-color-scheme:dark){:root{--bg:#11151b;--card:#191f28;--ink:#e6eaf0;--soft:#9aa6b6;--line:#2b333f;--grid:#262e39;--tint:#1b2c47;--good:#5fd39d;
--good-bg:#15301f;--bad:#ff8f78;--bad-bg:#3a1d18;--c0:#6ea3ff;--c1:#f2a64a;--c2:#4cc7a3;--c3:#e783c1;--c4:#a996ff;--c5:#94a3b8;--c6:#d8bd4a;--c7:#4fc0dd}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums}
main{max-width:1180px;margin:0 auto;padding:32px 24px 48px}
header{margin-bottom:20px}
.mark{margin:0;color:var(--c0);font-size:13px;font-weight:650;letter-spacing:.04em}
h1{margin:2px 0 18px;font-size:28px;line-height:1.2;font-weight:680;letter-spacing:-.015em;overflow-wrap:anywhere}
h2{margin:0 0 4px;font-size:20px;line-height:1.3;font-weight:650;letter-spacing:-.01em}
h3{margin:0 0 10px;font-size:15px;font-weight:620;overflow-wrap:anywhere}
section{margin-top:40px;scroll-margin-top:56px}
.lead{margin:0 0 14px;color:var(--soft);max-width:92ch}
.missing{margin:8px 0;color:var(--soft);font-style:italic}
.facts{margin:-8px 0 10px;color:var(--soft);font-size:13px}
.facts-grid{display:flex;flex-wrap:wrap;gap:14px 36px;margin:0;padding:16px 18px;background:var(--card);border:1px solid var(--line);border-radius:10px}
dt{color:var(--soft);font-size:12.5px}
dd{margin:0;font-weight:560;overflow-wrap:anywhere}
nav{position:sticky;top:0;z-index:2;display:flex;gap:20px;overflow-x:auto;margin:0 -24px;padding:11px 24px;background:var(--bg);border-bottom:1px solid var(--line);font-size:14px;scrollbar-width:none}
nav a{color:var(--soft);text-decoration:none;white-space:nowrap}
nav a:hover,nav a:focus-visible{color:var(--ink);text-decoration:underline;text-underline-offset:4px}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:16px 18px;min-width:0;margin-top:14px}
.card.flush{padding:4px 0 6px}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,480px),1fr));gap:16px;align-items:start;margin-top:14px}
.grid>.card{margin-top:0}
.tiles-of{margin:14px 0 6px;font-weight:600}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:12px}
.tile{display:flex;flex-direction:column;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 16px}
.tile span,.tile small{color:var(--soft);font-size:12.5px}
.tile strong{font-size:26px;line-height:1.25;font-weight:660;letter-spacing:-.02em}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}
.note{margin:0;padding:10px 0 0;color:var(--soft);font-size:12.5px}
.flush .note{padding:10px 18px 8px;border-top:1px solid var(--line)}
th,td{padding:8px 12px;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
.card:not(.flush) th:first-child{padding-left:0}
.flush th:first-child{padding-left:18px}
tbody tr:last-child>*{border-bottom:0}
thead th{color:var(--soft);font-size:12.5px;font-weight:560;white-space:nowrap}
tbody th{font-weight:520}
th.number,td.number,span.number{text-align:right;white-space:nowrap}
td small,.lane small{color:var(--soft);font-size:12px}
.metrics th:first-child{min-width:132px;position:sticky;left:0;z-index:1;background:var(--card)}
.speeds>*>tr>*{vertical-align:middle}
.metrics td{min-width:116px}
.metrics td small{display:block;line-height:1.3}
.metrics .ours th{font-weight:680}
.best span{font-weight:700;color:var(--c0);background:var(--tint);border-radius:4px;padding:1px 6px;margin-right:-6px}
.better span{font-weight:650;color:var(--good);background:var(--good-bg);border-radius:4px;padding:1px 6px;margin-right:-6px}
.worse span{font-weight:650;color:var(--bad);background:var(--bad-bg);border-radius:4px;padding:1px 6px;margin-right:-6px}
.none{color:var(--soft)}
.track{position:relative;height:10px;margin:4px 0 2px}
.track:before{content:"";position:absolute;left:0;right:0;top:4.5px;height:1px;background:var(--line)}
.track i{position:absolute;top:3px;height:4px;min-width:2px;border-radius:2px;background:var(--soft);opacity:.55}
.track b{position:absolute;top:2px;width:6px;height:6px;margin-left:-3px;border-radius:50%;background:var(--ink)}
.track u{position:absolute;top:-1px;width:1px;height:12px;background:var(--soft)}
.best .track b{background:var(--c0)}
.best .track i{background:var(--c0)}
.better .track b{background:var(--good)}
.worse .track b{background:var(--bad)}
.legend{display:flex;flex-wrap:wrap;gap:2px 16px;margin:0 0 10px;padding:0;list-style:none;font-size:13px;color:var(--soft)}
.legend b{color:var(--ink);font-weight:600}
.legend i{display:inline-block;width:14px;height:3px;margin-right:6px;border-radius:2px;vertical-align:middle;background:currentColor}
.legend i.dot{width:8px;height:8px;border-radius:50%}
.swatch{display:inline-block;width:10px;height:10px;margin-right:8px;border-radius:3px;background:currentColor}
.lanes{display:grid;gap:7px}
.lane{display:grid;grid-template-columns:minmax(96px,10.5em) 1fr 92px;gap:12px;align-items:center;font-size:13.5px}
.lane>span:first-child{overflow-wrap:anywhere;line-height:1.3}
.bar{position:relative;height:12px;border-radius:3px;background:var(--grid);overflow:hidden}
.bars{display:grid;gap:2px}
.bar i{position:absolute;top:0;bottom:0;border-radius:3px;background:currentColor}
svg{display:block;width:100%;height:auto;overflow:visible}
svg.wide{max-width:680px}
svg.narrow{display:none}
svg.spark{width:140px;height:28px}
svg text{font-size:11.5px;fill:var(--soft)}
svg .what{fill:var(--ink);font-weight:560}
line.grid{stroke:var(--grid)}
line.axis{stroke:var(--soft);stroke-opacity:.55}
path{fill:none;stroke:currentColor;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}
path.faint{stroke-width:1;opacity:.28}
circle,rect.fill{fill:currentColor}
circle.spot{fill-opacity:.62}
rect.frame{fill:none;stroke:var(--line)}
.c0{color:var(--c0)}.c1{color:var(--c1)}.c2{color:var(--c2)}.c3{color:var(--c3)}.c4{color:var(--c4)}.c5{color:var(--c5)}.c6{color:var(--c6)}.c7{color:var(--c7)}
details summary{cursor:pointer;font-weight:600}
pre{margin:12px 0 0;overflow-x:auto;font-size:12.5px;line-height:1.45}
code,pre{font-family:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace}
.hashes th{white-space:nowrap;color:var(--soft)}
.hashes code{font-size:12.5px;overflow-wrap:anywhere}
footer{margin-top:48px;padding-top:14px;border-top:1px solid var(--line);color:var(--soft);font-size:12.5px}
@media (max-width:620px){
main{padding:22px 16px 36px}
nav{margin:0 -16px;padding:10px 16px}
h1{font-size:23px}
section{margin-top:32px}
.card{padding:14px}
.card.flush{padding:2px 0 4px}
.facts-grid{display:grid;grid-template-columns:1fr 1fr;gap:12px 20px;padding:14px}
.tiles{grid-template-columns:1fr 1fr}
svg.wide{display:none}
svg.narrow{display:block}
.metrics td{min-width:100px;padding:8px}
.metrics th:first-child{min-width:0;width:112px;padding-left:14px;padding-right:4px}
.flush th:first-child{padding-left:14px}
.flush .note{padding:10px 14px 8px}
.hashes th{white-space:normal}
.speeds tr>:last-child{display:none}
.lane{grid-template-columns:92px 1fr 88px;gap:8px}
}
@media print{nav{display:none}body{background:#fff}.card{break-inside:avoid}}
)css";
}

}  // namespace thinkrec::html
