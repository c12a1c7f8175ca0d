// One dashboard, laid out as Grafana lays it out.
import './recorder';
import 'uplot/dist/uPlot.min.css';
import { createTheme, DataFrame, GrafanaTheme2 } from '@grafana/data';
import { GlobalStyles, PanelChrome, ThemeContext } from '@grafana/ui';
import React from 'react';
import { createRoot } from 'react-dom/client';
import { drawingOf } from './drawing';
import { prepared } from './fields';
import { framesOf } from './frames';
import { Panel, Shown } from './model';
import { Contents } from './panels';

const [CELL, GAP, MARGIN, HEAD] = [30, 8, 16, 48];
const COLUMNS = 24;
// Graphs draw themselves after React, and once more when fonts have come.
const SETTLED_MS = 5000;

function boxOf({ gridPos: { x = 0, y = 0, w, h } }: Panel, width: number) {
  const column = (width - 2 * MARGIN - (COLUMNS - 1) * GAP) / COLUMNS;
  return {
    left: MARGIN + x * (column + GAP), top: HEAD + y * (CELL + GAP),
    width: w * column + (w - 1) * GAP, height: h * CELL + (h - 1) * GAP,
  };
}

function Board({ shown, frames, theme, width }: { shown: Shown; frames: Map<number, DataFrame[]>; theme: GrafanaTheme2; width: number }) {
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div style={{ position: 'absolute', left: MARGIN, top: 12, fontSize: 18 }}>{shown.dashboard.title}</div>
      {shown.dashboard.panels.map((panel) => {
        const box = boxOf(panel, width);
        return (
          <div key={panel.id} style={{ position: 'absolute', ...box }}>
            {panel.type === 'row' ? <h4 style={{ lineHeight: `${CELL}px`, margin: 0 }}>{panel.title}</h4> : (
              <PanelChrome title={panel.title} width={box.width} height={box.height}>
                {(innerWidth, innerHeight) => (
                  <Contents panel={panel} frames={frames.get(panel.id) ?? []} width={innerWidth} height={innerHeight} theme={theme} shown={shown} />
                )}
              </PanelChrome>
            )}
          </div>
        );
      })}
    </ThemeContext.Provider>
  );
}

// `browser.py` looks for these words in the log.
function failed(error: unknown): void {
  console.error(`gallery failed: ${error instanceof Error ? error.stack : error}`);
}

async function draw(shown: Shown): Promise<void> {
  const theme = createTheme({ colors: { mode: 'dark' } });
  const frames = new Map<number, DataFrame[]>();
  for (const panel of shown.dashboard.panels) {
    frames.set(panel.id, await prepared(framesOf(shown.answers[panel.id] ?? []), panel, theme));
  }
  createRoot(document.getElementById('board')!, { onUncaughtError: failed, onCaughtError: failed }).render(<Board shown={shown} frames={frames} theme={theme} width={window.innerWidth} />);
}

/** Put the page's drawing where the browser prints it. */
function print(): void {
  const board = document.getElementById('board')!;
  const text = drawingOf(board, window.innerWidth, board.clientHeight);
  document.body.replaceChildren(Object.assign(document.createElement('pre'), { id: 'drawing', textContent: text }));
}

draw(window.shown).catch(failed);
if (window.location.hash === '#drawing') {
  setTimeout(print, SETTLED_MS);
}
