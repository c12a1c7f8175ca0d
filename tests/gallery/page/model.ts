// What `tests/gallery/queries.py` writes.

export interface Series {
  metric: Record<string, string>;
  values?: Array<[number, string]>;
  value?: [number, string];
}

export interface Answer {
  refId: string;
  legend: string;
  format: string;
  stepMs: number;
  result: Series[];
}

export interface Mark {
  name: string;
  color: string;
  result: Series[];
}

export interface Panel {
  id: number;
  type: string;
  title: string;
  description?: string;
  gridPos: { x?: number; y?: number; w: number; h: number };
  fieldConfig?: any;
  options?: any;
  transformations?: any[];
}

export interface Shown {
  from: number;
  to: number;
  dashboard: { title: string; description: string; panels: Panel[] };
  variables: Record<string, string>;
  answers: Record<string, Answer[]>;
  marks: Mark[];
}

declare global {
  interface Window {
    shown: Shown;
  }
}
