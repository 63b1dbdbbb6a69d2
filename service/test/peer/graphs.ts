export interface SubtaskRecord { [k: string]: unknown }
