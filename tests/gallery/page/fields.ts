// The dashboard's own field configuration - units, thresholds, colours, mappings - on frames.
import {
  applyFieldOverrides,
  DataFrame,
  FieldColorModeId,
  FieldConfigOptionsRegistry,
  FieldConfigSource,
  getFieldDisplayName,
  GrafanaTheme2,
  standardTransformers,
  standardTransformersRegistry,
  transformDataFrame,
} from '@grafana/data';
import { lastValueFrom } from 'rxjs';
import { Panel } from './model';

// Defaults of Grafana's panels, which a dashboard need not repeat.
const GRAPH = {
  drawStyle: 'line', lineInterpolation: 'linear', lineWidth: 1, fillOpacity: 0, gradientMode: 'none', spanNulls: false,
  showPoints: 'auto', pointSize: 5, barAlignment: 0, barWidthFactor: 0.6, axisPlacement: 'auto', axisLabel: '',
  axisColorMode: 'text', axisBorderShow: false, axisCenteredZero: false, scaleDistribution: { type: 'linear' },
  stacking: { mode: 'none', group: 'A' }, thresholdsStyle: { mode: 'off' }, hideFrom: { tooltip: false, viz: false, legend: false },
};
// What a dashboard may set: the standard options, and those of graphs and tables. What is not listed
// is left out, without an error.
const SETTABLE = [
  ...['unit', 'decimals', 'min', 'max', 'noValue', 'displayName', 'color', 'thresholds', 'mappings', 'links'],
  ...[...Object.keys(GRAPH), 'lineStyle', 'axisSoftMin', 'axisSoftMax', 'fillBelowTo', 'width', 'align', 'cellOptions', 'inspect'].map((name) => `custom.${name}`),
];

const registry = new FieldConfigOptionsRegistry(() =>
  SETTABLE.map((id) => ({
    id,
    path: id.replace('custom.', ''),
    isCustom: id.startsWith('custom.'),
    name: id,
    editor: () => null,
    override: () => null,
    process: (value: unknown) => value,
    shouldApply: () => true,
  })) as any
);

const PALETTE = new Set(['timeseries']);

standardTransformersRegistry.setInit(() =>
  [...new Map(Object.values(standardTransformers).map((each) => [each.id, each])).values()].map((transformation) => ({
    id: transformation.id, name: transformation.name, transformation: () => Promise.resolve(transformation), editor: () => null,
    imageDark: '', imageLight: '',
  })) as any
);

/** Return the frames as the panel draws them: transformed, and with units, colours and names. */
export async function prepared(frames: DataFrame[], panel: Panel, theme: GrafanaTheme2): Promise<DataFrame[]> {
  const transformations = (panel.transformations ?? []).filter((each) => !each.disabled);
  const transformed = await lastValueFrom(transformDataFrame(transformations, frames));
  const { defaults = {}, overrides = [] } = panel.fieldConfig ?? {};
  const { links: _, ...shown } = defaults;
  const mode = PALETTE.has(panel.type) ? FieldColorModeId.PaletteClassic : FieldColorModeId.Thresholds;
  const fieldConfig: FieldConfigSource = {
    defaults: { color: { mode }, ...shown, custom: { ...(PALETTE.has(panel.type) ? GRAPH : {}), ...defaults.custom } },
    overrides,
  };
  const made = applyFieldOverrides({
    data: transformed,
    fieldConfig,
    fieldConfigRegistry: registry,
    replaceVariables: (text) => text,
    theme,
    timeZone: 'utc',
  });
  // Names are kept in the fields' state, where tables look for them.
  made.forEach((frame) => frame.fields.forEach((field) => getFieldDisplayName(field, frame, made)));
  return made;
}
